//! Subscriptions: who wants to be told of what, by which channel and when. Commands of the log, and what they come to.
//!
//! Shape of the commands, one JSON object each:
//!
//! ```text
//! {"do":"subscription.set","id":"crm-7","scope":{"inn":"7707083893"},"kinds":["gap.opened","drive.term"],"channel":"webhook",
//!  "to":"https://…","threshold":{"drive.term":3},"quiet":{"from":"22:00","to":"08:00","zone_min":180},
//!  "digest":"daily 09:00","zone_min":180,"by":"…"}
//! {"do":"subscription.remove","id":"crm-7","by":"…"}
//! {"do":"subscription.replay","id":"crm-7","from":4711,"by":"…"}
//! ```
//! `scope` is one of `{"inn":…}`, `{"outlet":…}`, `{"rnm":…}`, `{"all":true}`; `digest` is `daily HH:MM`, `hourly` or null; what
//! is optional may be left out: `threshold`, `quiet`, `digest`, `zone_min` (180).
//!
//! A subscription tells of what happens behind its first command. Setting it again changes it and goes on where it is;
//! `replay` goes on behind any position, back or forth. What it is told by is the number of the last command that said where
//! it begins, its *run*: an answer of a channel to a delivery of an earlier run moves nothing.
//!
//! Errors: a command that asks for what is not offered is refused when it is given. One that lies in the log, of a newer
//! version, is taken as far as it can be read: a kind that is not known here is never told.
//!
//! Invariants: `Debug` shows no address (test: `a_debug_shows_no_address`).

use std::collections::BTreeMap;

use ofd_storage::{Lsn, Position};
use serde_json::{Map, Value, json};

use super::clock::{Digest, Quiet, minute_of, minute_text};
use super::kind::{Kinds, NoticeKind};

/// Most subscriptions of one engine.
pub const SUBSCRIPTIONS_MAX: usize = 10_000;
/// Longest id of a subscription, bytes: letters, digits, `.`, `-`, `_`.
pub const SUBSCRIPTION_ID_LEN_MAX: usize = 64;
/// Longest address, bytes.
const TO_LEN_MAX: usize = 512;
/// Longest name of a channel, an outlet or whoever gave a command, bytes.
const NAME_LEN_MAX: usize = 128;
/// The zone of digests that name none: Moscow.
const ZONE_MIN: i16 = 180;

/// What a subscription is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoticeScope {
    /// Every register.
    All,
    /// Registers of a user (1018).
    Inn(String),
    /// Registers of an outlet, by the host's directory.
    Outlet(String),
    /// One register (1037).
    Rnm(String),
}

/// A subscription. Its `Debug` shows no address.
#[derive(Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its name, unique.
    pub id: String,
    /// What it is about.
    pub scope: NoticeScope,
    /// What it wants to know.
    pub kinds: Kinds,
    /// Name of the channel.
    pub channel: String,
    /// Whom: an address in the channel's own terms.
    pub to: String,
    /// From how much on, by kind; see [`NoticeKind::threshold`].
    pub threshold: BTreeMap<NoticeKind, u64>,
    /// When nothing goes out.
    pub quiet: Option<Quiet>,
    /// What happened is told together, then.
    pub digest: Option<Digest>,
    /// Minutes east of UTC by which a digest is dated.
    pub zone_min: i16,
    /// Who has set it.
    pub by: String,
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription")
            .field("id", &self.id)
            .field("channel", &self.channel)
            .finish_non_exhaustive()
    }
}

/// A command about subscriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubscriptionCommand {
    /// Makes or changes one.
    Set(Box<Subscription>),
    /// Ends one: what waits for it is not told any more.
    Remove {
        /// Its name.
        id: String,
        /// Who.
        by: String,
    },
    /// Lets one go on behind a position.
    Replay {
        /// Its name.
        id: String,
        /// Everything behind it is told (again).
        from: Position,
        /// Who.
        by: String,
    },
}

/// How strictly a command is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// When it is given.
    Given,
    /// When it lies in the log.
    Logged,
}

impl SubscriptionCommand {
    /// Reads a command that somebody gives.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it; it repeats no address.
    pub fn of_value(value: &Value) -> Result<Self, String> {
        Self::read(value, Reading::Given)
    }

    /// Reads the payload of a command record; `None`: it is about something else, or cannot be read.
    pub(crate) fn of_payload(payload: &[u8]) -> Option<Self> {
        if !payload.starts_with(br#"{"do":"subscription."#) {
            return None;
        }
        let value = serde_json::from_slice(payload).ok()?;
        match Self::read(&value, Reading::Logged) {
            Ok(command) => Some(command),
            Err(error) => {
                tracing::warn!(%error, "a command about subscriptions is passed over");
                None
            }
        }
    }

    fn read(value: &Value, how: Reading) -> Result<Self, String> {
        let object = value.as_object().ok_or("not a JSON object")?;
        let fields = Fields { object, how };
        let (id, by) = (fields.id()?, fields.text("by", NAME_LEN_MAX)?);
        match fields.get("do").and_then(Value::as_str) {
            None | Some("subscription.set") => {
                Subscription::read(&fields, id, by).map(|it| Self::Set(Box::new(it)))
            }
            Some("subscription.remove") => fields.only(&["do", "id", "by"]).map(|()| Self::Remove { id, by }),
            Some("subscription.replay") => {
                fields.only(&["do", "id", "by", "from"])?;
                let from = fields.get("from").and_then(Value::as_u64).ok_or("from has to be a position")?;
                Ok(Self::Replay { id, from: Position::new(Lsn::new(from)), by })
            }
            Some(_) => {
                Err("do has to be subscription.set, subscription.remove or subscription.replay".to_owned())
            }
        }
    }

    /// The object that [`SubscriptionCommand::of_value`] reads.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match self {
            Self::Set(subscription) => subscription.to_value(),
            Self::Remove { id, by } => json!({"do": "subscription.remove", "id": id, "by": by}),
            Self::Replay { id, from, by } => {
                json!({"do": "subscription.replay", "id": id, "from": from.as_u64(), "by": by})
            }
        }
    }

    pub(crate) fn to_payload(&self) -> Vec<u8> {
        self.to_value().to_string().into_bytes()
    }
}

struct Fields<'v> {
    object: &'v Map<String, Value>,
    how: Reading,
}

impl Fields<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        self.object.get(key).filter(|it| !it.is_null())
    }

    fn only(&self, keys: &[&str]) -> Result<(), String> {
        match self.object.keys().find(|key| !keys.contains(&key.as_str())) {
            Some(_) if self.how == Reading::Logged => Ok(()),
            Some(key) => Err(format!("{key} is no field of it; there are {}", keys.join(", "))),
            None => Ok(()),
        }
    }

    fn text(&self, key: &str, len_max: usize) -> Result<String, String> {
        let text = self.get(key).and_then(Value::as_str).map(str::trim).unwrap_or_default();
        let fits = (1..=len_max).contains(&text.len()) && !text.chars().any(char::is_control);
        if fits {
            Ok(text.to_owned())
        } else {
            Err(format!("{key} has to be a text of 1 to {len_max} bytes"))
        }
    }

    fn id(&self) -> Result<String, String> {
        let id = self.text("id", SUBSCRIPTION_ID_LEN_MAX)?;
        let fits = id.bytes().all(|it| it.is_ascii_alphanumeric() || b".-_".contains(&it));
        if fits { Ok(id) } else { Err("id has to be of letters, digits, '.', '-' and '_'".to_owned()) }
    }

    fn zone_of(value: Option<&Value>) -> Result<i16, String> {
        let Some(value) = value else { return Ok(ZONE_MIN) };
        let zone = value.as_i64().and_then(|it| i16::try_from(it).ok());
        zone.filter(|it| (-720..=840).contains(it)).ok_or_else(|| "zone_min has to be -720 to 840".to_owned())
    }
}

impl Subscription {
    /// Reads the text of one, as `subscription.set` has it; `do` may be left out.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let value: Value =
            serde_json::from_str(text).map_err(|error| format!("not a JSON object: {error}"))?;
        match SubscriptionCommand::of_value(&value)? {
            SubscriptionCommand::Set(subscription) => Ok(*subscription),
            _ => Err("do has to be subscription.set".to_owned()),
        }
    }

    fn read(fields: &Fields<'_>, id: String, by: String) -> Result<Self, String> {
        const KEYS: [&str; 11] =
            ["do", "id", "scope", "kinds", "channel", "to", "threshold", "quiet", "digest", "zone_min", "by"];
        fields.only(&KEYS)?;
        let zone_min = Fields::zone_of(fields.get("zone_min"))?;
        Ok(Self {
            id,
            scope: scope(fields)?,
            kinds: kinds(fields)?,
            channel: fields.text("channel", NAME_LEN_MAX)?,
            to: fields.text("to", TO_LEN_MAX)?,
            threshold: threshold(fields)?,
            quiet: quiet(fields, zone_min)?,
            digest: digest(fields)?,
            zone_min,
            by,
        })
    }

    /// As the command that sets it.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let scope = match &self.scope {
            NoticeScope::All => json!({"all": true}),
            NoticeScope::Inn(inn) => json!({"inn": inn}),
            NoticeScope::Outlet(outlet) => json!({"outlet": outlet}),
            NoticeScope::Rnm(rnm) => json!({"rnm": rnm}),
        };
        let kinds: Vec<&str> = self.kinds.iter().map(NoticeKind::name).collect();
        let threshold: Map<String, Value> =
            self.threshold.iter().map(|(kind, much)| (kind.name().to_owned(), json!(much))).collect();
        let quiet = self.quiet.map(|it| {
            json!({"from": minute_text(it.from_min), "to": minute_text(it.to_min), "zone_min": it.zone_min})
        });
        let digest = self.digest.map(|it| match it {
            Digest::Hourly => "hourly".to_owned(),
            Digest::Daily { at_min } => format!("daily {}", minute_text(at_min)),
        });
        json!({
            "do": "subscription.set", "id": self.id, "scope": scope, "kinds": kinds, "channel": self.channel,
            "to": self.to, "threshold": threshold, "quiet": quiet, "digest": digest, "zone_min": self.zone_min,
            "by": self.by,
        })
    }
}

fn scope(fields: &Fields<'_>) -> Result<NoticeScope, String> {
    let wrong =
        || "scope has to be one of {\"inn\":…}, {\"outlet\":…}, {\"rnm\":…}, {\"all\":true}".to_owned();
    let scope =
        fields.get("scope").and_then(Value::as_object).filter(|it| it.len() == 1).ok_or_else(wrong)?;
    let (key, value) = scope.iter().next().ok_or_else(wrong)?;
    let text = value.as_str().filter(|it| (1..=NAME_LEN_MAX).contains(&it.len()));
    let digits = |text: &str| text.bytes().all(|it| it.is_ascii_digit());
    match (key.as_str(), text) {
        ("all", None) if *value == Value::Bool(true) => Ok(NoticeScope::All),
        ("inn", Some(inn)) if matches!(inn.len(), 10 | 12) && digits(inn) => {
            Ok(NoticeScope::Inn(inn.to_owned()))
        }
        ("rnm", Some(rnm)) if rnm.len() <= 20 && digits(rnm) => Ok(NoticeScope::Rnm(rnm.to_owned())),
        ("outlet", Some(outlet)) => Ok(NoticeScope::Outlet(outlet.to_owned())),
        _ => Err(wrong()),
    }
}

fn kind_of(name: &str) -> Result<NoticeKind, String> {
    NoticeKind::of_name(name).ok_or_else(|| {
        let offered: Vec<&str> = NoticeKind::ALL.into_iter().map(NoticeKind::name).collect();
        format!("no such kind is offered; there are {}", offered.join(", "))
    })
}

fn kinds(fields: &Fields<'_>) -> Result<Kinds, String> {
    let names = fields.get("kinds").and_then(Value::as_array).ok_or("kinds has to be a list of names")?;
    let mut kinds = Kinds::default();
    for name in names {
        match kind_of(name.as_str().unwrap_or_default()) {
            Ok(kind) => kinds = kinds.with(kind),
            Err(_) if fields.how == Reading::Logged => {}
            Err(error) => return Err(error),
        }
    }
    if kinds.is_empty() && fields.how == Reading::Given {
        return Err("kinds has to name one at least".to_owned());
    }
    Ok(kinds)
}

fn threshold(fields: &Fields<'_>) -> Result<BTreeMap<NoticeKind, u64>, String> {
    let Some(value) = fields.get("threshold") else { return Ok(BTreeMap::new()) };
    let object = value.as_object().ok_or("threshold has to be an object of numbers by kind")?;
    let mut threshold = BTreeMap::new();
    for (name, much) in object {
        let kind = match kind_of(name) {
            Ok(kind) => kind,
            Err(_) if fields.how == Reading::Logged => continue,
            Err(error) => return Err(error),
        };
        if kind.threshold().is_none() {
            return Err(format!("{} has no threshold", kind.name()));
        }
        let much =
            much.as_u64().ok_or_else(|| format!("the threshold of {} has to be a number", kind.name()))?;
        threshold.insert(kind, much);
    }
    Ok(threshold)
}

fn quiet(fields: &Fields<'_>, zone_min: i16) -> Result<Option<Quiet>, String> {
    let Some(value) = fields.get("quiet") else { return Ok(None) };
    let wrong = || "quiet has to be {\"from\":\"HH:MM\",\"to\":\"HH:MM\",\"zone_min\":N}".to_owned();
    let object = value.as_object().ok_or_else(wrong)?;
    let minute = |key: &str| object.get(key).and_then(Value::as_str).and_then(minute_of).ok_or_else(wrong);
    let zone_min = match object.get("zone_min").filter(|it| !it.is_null()) {
        None => zone_min,
        zone => Fields::zone_of(zone)?,
    };
    Ok(Some(Quiet { from_min: minute("from")?, to_min: minute("to")?, zone_min }))
}

fn digest(fields: &Fields<'_>) -> Result<Option<Digest>, String> {
    let Some(value) = fields.get("digest") else { return Ok(None) };
    let text = value.as_str().unwrap_or_default();
    if text == "hourly" {
        return Ok(Some(Digest::Hourly));
    }
    let at_min = text.strip_prefix("daily ").and_then(minute_of);
    let at_min = at_min.ok_or_else(|| "digest has to be hourly or daily HH:MM".to_owned())?;
    Ok(Some(Digest::Daily { at_min }))
}

/// A subscription as the commands have left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) spec: Subscription,
    /// The command that has said where it begins.
    pub(crate) run: Lsn,
    /// Where that is: everything behind it is told.
    pub(crate) from: Position,
}

/// The subscriptions that stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Subscriptions(BTreeMap<String, Standing>);

impl Subscriptions {
    /// Takes a command in.
    pub(crate) fn fold(&mut self, at: Lsn, command: SubscriptionCommand) {
        match command {
            SubscriptionCommand::Set(spec) => {
                let room = self.0.len() < SUBSCRIPTIONS_MAX;
                match self.0.get_mut(&spec.id) {
                    Some(standing) => standing.spec = *spec,
                    None if room => {
                        let standing = Standing { run: at, from: Position::new(at), spec: *spec };
                        self.0.insert(standing.spec.id.clone(), standing);
                    }
                    None => tracing::warn!("a subscription more than there may be is passed over"),
                }
            }
            SubscriptionCommand::Remove { id, .. } => drop(self.0.remove(&id)),
            SubscriptionCommand::Replay { id, from, .. } => {
                if let Some(standing) = self.0.get_mut(&id) {
                    (standing.run, standing.from) = (at, from);
                }
            }
        }
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Standing> {
        self.0.get(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Standing> {
        self.0.values()
    }

    /// Whether this command can be carried out.
    ///
    /// # Errors
    /// A sentence that says why not.
    pub(crate) fn check(&self, command: &SubscriptionCommand) -> Result<(), String> {
        match command {
            SubscriptionCommand::Set(spec)
                if self.get(&spec.id).is_none() && self.0.len() >= SUBSCRIPTIONS_MAX =>
            {
                Err(format!("there are {SUBSCRIPTIONS_MAX} subscriptions already"))
            }
            SubscriptionCommand::Set(_) => Ok(()),
            SubscriptionCommand::Remove { id, .. } | SubscriptionCommand::Replay { id, .. } => {
                self.get(id).map(drop).ok_or_else(|| format!("there is no subscription {id}"))
            }
        }
    }
}

/// An INN in the one way it is compared: without the zeros and spaces that registers pad it with.
pub(crate) fn plain_inn(inn: &str) -> &str {
    let inn = inn.trim_end();
    let padded = inn.len() == 12 && inn.bytes().any(|it| it != b'0');
    inn.strip_prefix("00").filter(|_| padded).unwrap_or(inn)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]
    use super::*;

    const WHOLE: &str = r#"{"do":"subscription.set","id":"crm-7","scope":{"inn":"7707083893"},
        "kinds":["gap.opened","drive.term"],"channel":"webhook","to":"https://shop.example/hook",
        "threshold":{"drive.term":3},"quiet":{"from":"22:00","to":"08:00","zone_min":300},
        "digest":"daily 09:00","zone_min":180,"by":"Иванова"}"#;

    fn changed(key: &str, value: Value) -> Value {
        let mut whole: Value = serde_json::from_str(WHOLE).unwrap();
        whole.as_object_mut().unwrap().insert(key.to_owned(), value);
        whole
    }

    // What stands in the log is read by every later version.
    #[test]
    fn a_command_comes_back_from_the_log() {
        let set = SubscriptionCommand::of_value(&serde_json::from_str(WHOLE).unwrap()).unwrap();
        let remove = SubscriptionCommand::Remove { id: "crm-7".into(), by: "x".into() };
        let from = Position::new(Lsn::new(4_711));
        let replay = SubscriptionCommand::Replay { id: "crm-7".into(), from, by: "x".into() };
        for command in [set, remove, replay] {
            assert_eq!(SubscriptionCommand::of_payload(&command.to_payload()), Some(command.clone()));
            assert_eq!(SubscriptionCommand::of_value(&command.to_value()), Ok(command));
        }
        assert_eq!(SubscriptionCommand::of_payload(br#"{"do":"hold.lift","id":4711}"#), None);
        // A newer version knows more kinds and fields.
        let newer = changed("kinds", json!(["gap.opened", "moon.full"]));
        assert!(SubscriptionCommand::of_value(&newer).is_err());
        let newer = SubscriptionCommand::of_payload(newer.to_string().as_bytes()).unwrap();
        let SubscriptionCommand::Set(newer) = newer else { panic!("another command") };
        assert_eq!(newer.kinds.iter().collect::<Vec<_>>(), [NoticeKind::GapOpened]);
    }

    // What was taken will be told, so what cannot be told is not taken.
    #[test]
    fn what_is_not_offered_is_refused_and_told_why() {
        for (key, value, why) in [
            ("id", json!("a/b"), "id has to be"),
            ("id", json!("x".repeat(65)), "id has to be"),
            ("scope", json!({"inn": "123"}), "scope has to be"),
            ("scope", json!({"all": true, "inn": "7707083893"}), "scope has to be"),
            ("scope", json!({"all": false}), "scope has to be"),
            ("kinds", json!([]), "kinds has to name"),
            ("kinds", json!(["marking.failed"]), "no such kind"),
            ("channel", json!(""), "channel has to be"),
            ("to", json!("x\ny"), "to has to be"),
            ("to", json!("x".repeat(513)), "to has to be"),
            ("threshold", json!({"gap.closed": 1}), "has no threshold"),
            ("threshold", json!({"drive.term": "x"}), "has to be a number"),
            ("quiet", json!({"from": "22:00"}), "quiet has to be"),
            ("quiet", json!({"from": "22:00", "to": "08:00", "zone_min": 900}), "zone_min has to be"),
            ("digest", json!("weekly"), "digest has to be"),
            ("zone_min", json!(-721), "zone_min has to be"),
            ("by", json!(null), "by has to be"),
            ("colour", json!("red"), "colour is no field"),
            ("do", json!("subscription.stop"), "do has to be"),
        ] {
            let error = SubscriptionCommand::of_value(&changed(key, value)).unwrap_err();
            assert!(error.contains(why), "{key}: {error}");
        }
    }

    // Addresses are personal data.
    #[test]
    fn a_debug_shows_no_address() {
        let command = SubscriptionCommand::of_value(&serde_json::from_str(WHOLE).unwrap()).unwrap();
        assert!(!format!("{command:?}").contains("shop.example"));
    }

    #[test]
    fn setting_it_again_goes_on_and_a_replay_begins_anew() {
        let mut all = Subscriptions::default();
        let set = || SubscriptionCommand::of_value(&changed("digest", Value::Null)).unwrap();
        let fold = |all: &mut Subscriptions, at, command| all.fold(Lsn::new(at), command);
        fold(&mut all, 5, set());
        fold(&mut all, 9, SubscriptionCommand::of_value(&serde_json::from_str(WHOLE).unwrap()).unwrap());
        let standing = all.get("crm-7").unwrap();
        assert_eq!((standing.run.get(), standing.from.as_u64()), (5, 5));
        assert!(standing.spec.digest.is_some());
        let from = Position::new(Lsn::new(2));
        fold(&mut all, 12, SubscriptionCommand::Replay { id: "crm-7".into(), from, by: "x".into() });
        let standing = all.get("crm-7").unwrap();
        assert_eq!((standing.run.get(), standing.from), (12, from));
        fold(&mut all, 13, SubscriptionCommand::Remove { id: "crm-7".into(), by: "x".into() });
        assert!(all.get("crm-7").is_none());
        assert!(all.check(&SubscriptionCommand::Remove { id: "crm-7".into(), by: "x".into() }).is_err());
    }
}
