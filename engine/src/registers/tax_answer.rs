//! What the tax service has answered that somebody should hear of: a refusal or a quarantine, as an event of the register.
//!
//! The records are those of kind `status` that the leg to the tax service writes (`ofd_storage::status`); what was sent and accepted
//! is no event, there are as many of these as documents. Each of them may turn the light of the register, too (`judged.rs`).
//!
//! Invariant: the same records give the same events (test: `tests/registers/scenarios.rs::answers_of_the_tax_service_are_told`).

use ofd_codec::{DriveNumber, Tag};
use ofd_storage::status::{StatusKind, StatusOf, decode};
use ofd_storage::{Lsn, Position};

use super::event::{Event, EventKind};
use super::pack::{Packer, Unpacker};
use super::{Registers, TOLD_AT_ONCE};

/// What the tax service has answered to a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaxAnswer {
    /// Warned, quarantined or refused.
    pub kind: StatusKind,
    /// The document.
    pub document: Position,
    /// The service's code.
    pub code: Option<u32>,
    /// The requisite it names.
    pub tag: Option<Tag>,
}

impl TaxAnswer {
    pub(super) fn pack(&self, to: &mut Packer) {
        to.byte(self.kind.code());
        to.number(self.document.as_u64());
        to.optional(self.code);
        to.optional(self.tag.map(|it| u32::from(it.0)));
    }

    pub(super) fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let (kind, document) = (StatusKind::from_code(from.byte()?), Position::new(Lsn::new(from.number()?)));
        let (code, tag) = (from.optional()?, from.optional()?);
        let tag = match tag {
            Some(tag) => Some(Tag(u16::try_from(tag).ok()?)),
            None => None,
        };
        Some(Self { kind, document, code, tag })
    }
}

impl Registers {
    /// Takes what was answered.
    pub fn answered(
        &mut self,
        position: Position,
        received_at_us: i64,
        payload: &[u8],
        out: &mut Vec<Event>,
    ) {
        let Some((StatusOf::Tax, events)) = decode(payload) else { return };
        let mut index = 0_u16;
        for event in events {
            let told =
                matches!(event.kind, StatusKind::Quarantined | StatusKind::Refused | StatusKind::Warned);
            let Ok(drive) = DriveNumber::from_bcd(event.drive.to_be_bytes()) else { continue };
            if index >= TOLD_AT_ONCE {
                continue;
            }
            let at = (position, received_at_us);
            if !told {
                // That the registration is accepted ends a reason.
                let changed = self.weigh(&event, at, index);
                index = index.saturating_add(u16::from(changed.is_some()));
                out.extend(changed);
                continue;
            }
            let card = self.card_of(drive);
            let answer = TaxAnswer {
                kind: event.kind,
                document: Position::new(Lsn::new(event.position)),
                code: event.code,
                tag: event.tag.map(Tag),
            };
            let (number, kind) = (event.number, EventKind::TaxAnswered(answer));
            let inn = card.as_ref().and_then(|it| it.inn.clone());
            out.push(Event { position, index, received_at_us, drive, number, inn, kind });
            index = index.saturating_add(1);
            let changed = self.weigh(&event, at, index);
            index = index.saturating_add(u16::from(changed.is_some()));
            out.extend(changed);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]
    use super::*;

    // It lies in files of events.
    #[test]
    fn an_answer_comes_back_from_its_bytes() {
        for (code, tag) in [(None, None), (Some(u32::MAX), Some(Tag(u16::MAX))), (Some(507), None)] {
            let answer = TaxAnswer {
                kind: StatusKind::Refused,
                document: Position::new(Lsn::new(u64::MAX)),
                code,
                tag,
            };
            let mut packer = Packer::default();
            answer.pack(&mut packer);
            assert_eq!(TaxAnswer::unpack(&mut Unpacker(&packer.0)), Some(answer));
            for len in 0..packer.0.len() {
                assert_eq!(TaxAnswer::unpack(&mut Unpacker(packer.0.get(..len).unwrap())), None);
            }
        }
    }
}
