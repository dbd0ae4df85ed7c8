//! What is asked of the traffic lights, and what the host says of registers.

use ofd_storage::ErrorKind;
use ofd_storage::envelope::Realm;

use super::book::RegisterBook;
use crate::engine::Engine;
use crate::error::Error;
use crate::host::Scope as Sees;
use crate::registers::{Card, Today};
use crate::watch::{Forecast, Light, Place, Scope, Setting, Threshold, Values, WatchCommand};

impl RegisterBook {
    pub(super) fn now(&self) -> u32 {
        u32::try_from(self.now_us().div_euclid(1_000_000)).unwrap_or(0)
    }

    /// The light of a register as of now, with its reasons; `None` when the capability does not show it.
    #[must_use]
    pub fn light(&self, card: &Card) -> Option<Light> {
        let sees = self.capability().sees(card.inn.as_deref());
        sees.then(|| self.book().light(card.realm, &card.rnm, self.now())).flatten()
    }

    /// When the drive of a register has to be replaced, as of now; `None` when its archive is closed, or the capability does not
    /// show it.
    #[must_use]
    pub fn forecast(&self, card: &Card) -> Option<Forecast> {
        let sees = self.capability().sees(card.inn.as_deref());
        sees.then(|| self.book().forecast(card.realm, &card.rnm, self.now())).flatten()
    }

    /// What a register has sold today, by the local day where it stands; `None` when that is nothing, or the capability does not
    /// show it.
    #[must_use]
    pub fn today(&self, card: &Card) -> Option<Today> {
        let sees = self.capability().sees(card.inn.as_deref());
        sees.then(|| self.book().today(card.realm, &card.rnm, self.now())).flatten()
    }

    /// Where a register stands, by what the host has said; `None` when it has said nothing, or the capability does not show it.
    #[must_use]
    pub fn place(&self, card: &Card) -> Option<Place> {
        let sees = self.capability().sees(card.inn.as_deref());
        sees.then(|| self.book().place(&card.rnm)).flatten()
    }

    /// The thresholds that hold for a register.
    #[must_use]
    pub fn thresholds(&self, realm: Realm, rnm: &str) -> Option<Values> {
        let registers = self.book();
        let card = registers.card(realm, rnm)?;
        self.capability().sees(card.inn.as_deref()).then(|| registers.values(realm, rnm)).flatten()
    }

    /// What is set at one level; `None` for a capability that is not the operator's, since the levels are his.
    #[must_use]
    pub fn setting(&self, scope: &Scope) -> Option<Setting> {
        (*self.capability().scope() == Sees::Operator).then(|| self.book().setting(scope))
    }
}

impl Engine {
    /// Sets thresholds of the traffic light at a level, or gives them back to the level above (`None`). Durable when this
    /// returns; what it concerns is judged again at its record. `by` says who.
    ///
    /// # Errors
    /// `Fix` for a value, a name or a number that is out of its bounds; `Reopen` when the log has failed.
    pub fn set_thresholds(
        &self,
        scope: &Scope,
        values: &[(Threshold, Option<u32>)],
        by: &str,
    ) -> Result<(), Error> {
        let (scope, values, by) = (scope.clone(), values.to_vec(), by.to_owned());
        self.watch_command(&WatchCommand::SetThresholds { scope, values, by })
    }

    /// Says where a register stands and when it works, which replaces what was said before. Durable when this returns.
    ///
    /// # Errors
    /// As [`Engine::set_thresholds`].
    pub fn place_register(&self, rnm: &str, place: &Place, by: &str) -> Result<(), Error> {
        let (rnm, place, by) = (rnm.to_owned(), place.clone(), by.to_owned());
        self.watch_command(&WatchCommand::PlaceRegister { rnm, place, by })
    }

    fn watch_command(&self, command: &WatchCommand) -> Result<(), Error> {
        let fix = |what: String| Error::new(ErrorKind::Fix, what);
        command.check().map_err(fix)?;
        // As far as the fold has come; it looks again when it comes to the command.
        if !self.shared().book.read().has_room(command) {
            return Err(fix("there is no room for more of them".to_owned()));
        }
        self.append_commands([command.to_payload()]).map(drop)
    }
}
