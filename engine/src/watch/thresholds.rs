//! Thresholds of the traffic light and what the host says of a register, as commands of the log. Pure.
//!
//! ```text
//! {"do":"thresholds.set","scope":{"default":true},"values":{"silent_yellow_h":12,"shift_red_h":null},"by":"…"}
//!                        "scope":{"inn":"77…"} | {"outlet":"…"} | {"rnm":"0000…"}
//! {"do":"register.place","rnm":"0000…","inn":"77…","outlet":"…","zone_min":180,"hours":["09:00-21:00",…,null],
//!  "season":{"from":"05-15","to":"09-30"},"service_from":1767225600,"service_to":1798761600,"by":"…"}
//! ```
//! `values` names what changes; null gives a value back to the level above. Each value is inherited by itself: register →
//! outlet → organisation → default → built in. `hours` are seven days from Monday, null = closed, or one text for all of them.
//! A placement replaces the one before as a whole.
//!
//! Unit: as the name of a value ends: `_h` hours, `_d` days, `_percent`, else documents. Zero switches it off.
//!
//! Errors: a sentence that says what is wrong; whatever comes from outside has a bound.

use serde_json::{Map, Value, json};

use super::place::{Hours, OUTLET_LEN_MAX, Place, Schedule, Season};

/// How many values there are.
pub const THRESHOLDS: usize = 13;
/// Longest name of who gives a command, bytes.
const BY_LEN_MAX: usize = 128;
const RNM_LEN: usize = 20;
const INN_LEN: usize = 12;
/// Days that any value may last.
const DAYS_MAX: u32 = 400;

/// A value that can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Threshold {
    /// Silence is yellow after, hours.
    SilentYellowH,
    /// And red.
    SilentRedH,
    /// The oldest unsent document is yellow, days.
    UnsentYellowD,
    /// And red: of the 30 days after which a drive blocks.
    UnsentRedD,
    /// An open shift is yellow after, hours.
    ShiftYellowH,
    /// And red.
    ShiftRedH,
    /// The end of service is yellow before, days.
    ServiceYellowD,
    /// The end of the drive is yellow before, days.
    DriveYellowD,
    /// And red.
    DriveRedD,
    /// The memory of the drive is yellow from, percent.
    DriveYellowPercent,
    /// Documents that the drive takes, where the model is known.
    DriveDocuments,
    /// Days that its keys last from its activation, where the model is known: 410, 470, 1110.
    DriveTermD,
    /// How long findings and refusals of documents are a reason, days.
    QualityD,
}

impl Threshold {
    /// All of them, in this order.
    pub const ALL: [Self; THRESHOLDS] = [
        Self::SilentYellowH,
        Self::SilentRedH,
        Self::UnsentYellowD,
        Self::UnsentRedD,
        Self::ShiftYellowH,
        Self::ShiftRedH,
        Self::ServiceYellowD,
        Self::DriveYellowD,
        Self::DriveRedD,
        Self::DriveYellowPercent,
        Self::DriveDocuments,
        Self::DriveTermD,
        Self::QualityD,
    ];

    /// Its stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SilentYellowH => "silent_yellow_h",
            Self::SilentRedH => "silent_red_h",
            Self::UnsentYellowD => "unsent_yellow_d",
            Self::UnsentRedD => "unsent_red_d",
            Self::ShiftYellowH => "shift_yellow_h",
            Self::ShiftRedH => "shift_red_h",
            Self::ServiceYellowD => "service_yellow_d",
            Self::DriveYellowD => "drive_yellow_d",
            Self::DriveRedD => "drive_red_d",
            Self::DriveYellowPercent => "drive_yellow_percent",
            Self::DriveDocuments => "drive_documents",
            Self::DriveTermD => "drive_term_d",
            Self::QualityD => "quality_d",
        }
    }

    /// By its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }

    /// What holds where nobody says anything.
    #[must_use]
    pub const fn built_in(self) -> u32 {
        match self {
            Self::SilentYellowH | Self::ShiftRedH => 24,
            Self::SilentRedH => 72,
            Self::UnsentYellowD | Self::DriveTermD => 0,
            Self::UnsentRedD => 20,
            Self::ShiftYellowH => 22,
            Self::ServiceYellowD | Self::DriveYellowD => 30,
            Self::DriveRedD => 3,
            Self::DriveYellowPercent => 90,
            // 230 to 250 thousand by the makers' words, fewer of long ones.
            Self::DriveDocuments => 230_000,
            Self::QualityD => 7,
        }
    }

    /// The greatest value it may have.
    #[must_use]
    pub const fn bound(self) -> u32 {
        match self {
            Self::SilentYellowH | Self::SilentRedH | Self::ShiftYellowH | Self::ShiftRedH => DAYS_MAX * 24,
            Self::UnsentYellowD | Self::UnsentRedD => 30,
            Self::ServiceYellowD | Self::DriveYellowD | Self::DriveRedD | Self::QualityD => DAYS_MAX,
            Self::DriveYellowPercent => 100,
            Self::DriveDocuments => 100_000_000,
            Self::DriveTermD => 4_000,
        }
    }
}

/// Marks a value that is not set at a level.
const UNSET: u32 = u32::MAX;

/// The values of one level: some are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting([u32; THRESHOLDS]);

impl Default for Setting {
    fn default() -> Self {
        Self([UNSET; THRESHOLDS])
    }
}

impl Setting {
    /// A value, where it is set.
    #[must_use]
    pub fn get(&self, threshold: Threshold) -> Option<u32> {
        self.0.get(threshold as usize).copied().filter(|it| *it != UNSET)
    }

    /// Sets a value, or gives it back to the level above.
    pub fn set(&mut self, threshold: Threshold, value: Option<u32>) {
        if let Some(slot) = self.0.get_mut(threshold as usize) {
            *slot = value.unwrap_or(UNSET);
        }
    }

    /// Nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The values that hold for a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Values([u32; THRESHOLDS]);

impl Values {
    /// Each value from the first level that sets it, else as built in.
    #[must_use]
    pub fn of_levels<'l>(levels: impl IntoIterator<Item = &'l Setting> + Clone) -> Self {
        Self(Threshold::ALL.map(|it| {
            let set = levels.clone().into_iter().find_map(|level| level.get(it));
            set.unwrap_or(it.built_in())
        }))
    }

    /// One of them.
    #[must_use]
    pub fn of(&self, threshold: Threshold) -> u32 {
        self.0.get(threshold as usize).copied().unwrap_or(threshold.built_in())
    }
}

impl Default for Values {
    fn default() -> Self {
        Self(Threshold::ALL.map(Threshold::built_in))
    }
}

/// Whom a threshold concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every register.
    Default,
    /// Those of an organisation (INN, 1018).
    Organisation(String),
    /// Those of an outlet, the host's own id.
    Outlet(String),
    /// One (РНМ, 1037).
    Register(String),
}

/// What the host says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchCommand {
    /// `thresholds.set`.
    SetThresholds {
        /// Whom it concerns.
        scope: Scope,
        /// What changes; `None`: the level above says it again.
        values: Vec<(Threshold, Option<u32>)>,
        /// Who says so.
        by: String,
    },
    /// `register.place`.
    PlaceRegister {
        /// РНМ (1037).
        rnm: String,
        /// Where it stands.
        place: Place,
        /// Who says so.
        by: String,
    },
}

const SET: &str = "thresholds.set";
const PLACE: &str = "register.place";

impl WatchCommand {
    /// Whether a command of the log may be one of these, without reading it.
    fn may_be(payload: &[u8]) -> bool {
        let begins = |with: &str| {
            payload.strip_prefix(br#"{"do":""#).is_some_and(|it| it.starts_with(with.as_bytes()))
        };
        begins(SET) || begins(PLACE)
    }

    /// Reads the payload of a command; `None` when it is another one.
    #[must_use]
    pub fn of_payload(payload: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(payload).ok().filter(|_| Self::may_be(payload))?;
        Self::of_value(&serde_json::from_str(text).ok()?).ok()
    }

    /// The payload of its record.
    #[must_use]
    pub fn to_payload(&self) -> Vec<u8> {
        self.to_value().to_string().into_bytes()
    }

    /// Whether it could be written down.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn check(&self) -> Result<(), String> {
        Self::of_value(&self.to_value()).map(drop)
    }

    /// As JSON, `do` first.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match self {
            Self::SetThresholds { scope, values, by } => {
                let scope = match scope {
                    Scope::Default => json!({"default": true}),
                    Scope::Organisation(inn) => json!({"inn": inn}),
                    Scope::Outlet(outlet) => json!({"outlet": outlet}),
                    Scope::Register(rnm) => json!({"rnm": rnm}),
                };
                let values = values.iter().map(|(it, value)| (it.as_str().to_owned(), Value::from(*value)));
                json!({"do": SET, "scope": scope, "values": values.collect::<Map<_, _>>(), "by": by})
            }
            Self::PlaceRegister { rnm, place, by } => {
                let Schedule { zone_min, hours, season, service_from, service_to } = place.schedule;
                let hours = hours.map(|Hours(week)| {
                    Value::from_iter(week.map(|day| day.map_or(Value::Null, |it| Hours::day_text(it).into())))
                });
                let season = season.map(|Season { from, to }| {
                    let day = |(month, day): (u8, u8)| format!("{month:02}-{day:02}");
                    json!({"from": day(from), "to": day(to)})
                });
                let mut line = Map::new();
                let mut put = |key: &str, value: Option<Value>| {
                    value.into_iter().for_each(|value| drop(line.insert(key.to_owned(), value)));
                };
                put("do", Some(PLACE.into()));
                put("rnm", Some(rnm.as_str().into()));
                put("inn", place.inn.as_deref().map(Value::from));
                put("outlet", place.outlet.as_deref().map(Value::from));
                put("zone_min", zone_min.map(Value::from));
                put("hours", hours);
                put("season", season);
                put("service_from", (service_from > 0).then(|| service_from.into()));
                put("service_to", (service_to > 0).then(|| service_to.into()));
                put("by", Some(by.as_str().into()));
                Value::Object(line)
            }
        }
    }

    /// Reads one that was parsed already.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn of_value(value: &Value) -> Result<Self, String> {
        let object = value.as_object().ok_or("not a JSON object")?;
        let known: &[&str] = match object.get("do").and_then(Value::as_str) {
            Some(SET) => &["do", "scope", "values", "by"],
            Some(PLACE) => &[
                "do",
                "rnm",
                "inn",
                "outlet",
                "zone_min",
                "hours",
                "season",
                "service_from",
                "service_to",
                "by",
            ],
            _ => return Err(format!("do has to be {SET} or {PLACE}")),
        };
        only(object, known)?;
        let by = text(object, "by", BY_LEN_MAX)?.ok_or("by has to say who")?;
        if known.len() == 4 {
            let scope =
                scope_of(object.get("scope").and_then(Value::as_object).ok_or("scope has to be there")?)?;
            let values = object.get("values").and_then(Value::as_object).ok_or("values have to be there")?;
            let values = values.iter().map(|(name, value)| {
                let threshold = Threshold::parse(name).ok_or_else(|| format!("{name} is no threshold"))?;
                let max = threshold.bound();
                let number =
                    match value {
                        Value::Null => None,
                        value => {
                            let number = value.as_u64().and_then(|it| u32::try_from(it).ok());
                            Some(number.filter(|it| *it <= max).ok_or_else(|| {
                                format!("{name} has to be a whole number up to {max}, or null")
                            })?)
                        }
                    };
                Ok((threshold, number))
            });
            let values = values.collect::<Result<Vec<_>, String>>()?;
            if values.is_empty() {
                return Err("values have to name what changes".to_owned());
            }
            return Ok(Self::SetThresholds { scope, values, by });
        }
        let seconds = |key: &str| match object.get(key) {
            None | Some(Value::Null) => Ok(0),
            Some(value) => value
                .as_u64()
                .and_then(|it| u32::try_from(it).ok())
                .ok_or_else(|| format!("{key} has to be seconds since 1970-01-01 UTC")),
        };
        let zone_min = match object.get("zone_min") {
            None | Some(Value::Null) => None,
            Some(value) => {
                let zone = value.as_i64().filter(|it| (-720..=840).contains(it));
                let zone = zone.and_then(|it| i16::try_from(it).ok());
                Some(zone.ok_or("zone_min has to be minutes east of UTC")?)
            }
        };
        let schedule = Schedule {
            zone_min,
            hours: hours_of(object.get("hours"))?,
            season: season_of(object.get("season"))?,
            service_from: seconds("service_from")?,
            service_to: seconds("service_to")?,
        };
        let place = Place {
            inn: digits(object, "inn", INN_LEN)?,
            outlet: text(object, "outlet", OUTLET_LEN_MAX)?,
            schedule,
        };
        let rnm = digits(object, "rnm", RNM_LEN)?.ok_or("rnm has to be there")?;
        Ok(Self::PlaceRegister { rnm, place, by })
    }
}

fn only(object: &Map<String, Value>, known: &[&str]) -> Result<(), String> {
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        // A name from outside is not repeated.
        Some(_) => Err(format!("only {} are known", known.join(", "))),
        None => Ok(()),
    }
}

fn text(object: &Map<String, Value>, key: &str, len_max: usize) -> Result<Option<String>, String> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if (1..=len_max).contains(&text.len()) => Ok(Some(text.clone())),
        Some(_) => Err(format!("{key} has to be a text of at most {len_max} bytes")),
    }
}

fn digits(object: &Map<String, Value>, key: &str, len_max: usize) -> Result<Option<String>, String> {
    let found = text(object, key, len_max)?;
    match found.as_deref().is_none_or(|it| it.bytes().all(|it| it.is_ascii_digit())) {
        true => Ok(found),
        false => Err(format!("{key} has to be at most {len_max} digits")),
    }
}

fn scope_of(scope: &Map<String, Value>) -> Result<Scope, String> {
    only(scope, &["default", "inn", "outlet", "rnm"])?;
    let default = scope.get("default").map(|it| it.as_bool() == Some(true));
    let inn = digits(scope, "inn", INN_LEN)?;
    let outlet = text(scope, "outlet", OUTLET_LEN_MAX)?;
    let rnm = digits(scope, "rnm", RNM_LEN)?;
    match (default, inn, outlet, rnm) {
        (Some(true), None, None, None) => Ok(Scope::Default),
        (None, Some(inn), None, None) => Ok(Scope::Organisation(inn)),
        (None, None, Some(outlet), None) => Ok(Scope::Outlet(outlet)),
        (None, None, None, Some(rnm)) => Ok(Scope::Register(rnm)),
        _ => Err("scope has to be one of default, inn, outlet, rnm".to_owned()),
    }
}

fn hours_of(value: Option<&Value>) -> Result<Option<Hours>, String> {
    const WRONG: &str = "hours have to be 09:00-21:00, or seven of them from Monday, null = closed";
    let day = |value: &Value| match value {
        Value::Null => Ok(None),
        Value::String(text) => Hours::parse_day(text).map(Some).ok_or(WRONG),
        _ => Err(WRONG),
    };
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(days)) => {
            let days = days.iter().map(day).collect::<Result<Vec<_>, _>>()?;
            Ok(Some(Hours(days.try_into().map_err(|_| WRONG)?)))
        }
        Some(one) => Ok(Some(Hours([day(one)?; 7]))),
    }
}

fn season_of(value: Option<&Value>) -> Result<Option<Season>, String> {
    const WRONG: &str = "season has to be {\"from\":\"05-15\",\"to\":\"09-30\"}";
    let Some(value) = value.filter(|it| !it.is_null()) else { return Ok(None) };
    let object = value.as_object().ok_or(WRONG)?;
    only(object, &["from", "to"])?;
    let day = |key: &str| {
        let (month, day) = object.get(key)?.as_str()?.split_once('-')?;
        let two = |it: &str| if it.len() == 2 { it.parse::<u8>().ok() } else { None };
        let (month, day) = (two(month)?, two(day)?);
        ((1..=12).contains(&month) && (1..=31).contains(&day)).then_some((month, day))
    };
    Ok(Some(Season { from: day("from").ok_or(WRONG)?, to: day("to").ok_or(WRONG)? }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]
    use super::*;

    // They are kept in the log for ever: what is written is what is read.
    #[test]
    fn a_command_comes_back_from_its_record() {
        let values = vec![(Threshold::SilentYellowH, Some(12)), (Threshold::ShiftRedH, None)];
        let scopes = [
            Scope::Default,
            Scope::Organisation("7707083893".into()),
            Scope::Outlet("магазин 7".into()),
            Scope::Register("0000000000000001".into()),
        ];
        let mut commands: Vec<_> = scopes
            .into_iter()
            .map(|scope| WatchCommand::SetThresholds {
                scope, values: values.clone(), by: "Иванова".into()
            })
            .collect();
        let day = Hours::parse_day("09:00-21:00");
        let schedule = Schedule {
            zone_min: Some(-60),
            hours: Some(Hours([day, day, None, day, day, day, None])),
            season: Some(Season { from: (5, 15), to: (9, 30) }),
            service_from: 1,
            service_to: u32::MAX,
        };
        let whole = Place { inn: Some("7707083893".into()), outlet: Some("7".into()), schedule };
        for place in [Place::default(), whole] {
            commands.push(WatchCommand::PlaceRegister { rnm: "1".into(), place, by: "x".into() });
        }
        for command in commands {
            assert_eq!(command.check(), Ok(()));
            assert_eq!(WatchCommand::of_payload(&command.to_payload()), Some(command));
        }
        assert_eq!(WatchCommand::of_payload(br#"{"do":"lane.seed","fn":"7"}"#), None);
    }

    #[test]
    fn what_is_no_command_is_told_why() {
        for (line, why) in [
            (r#"[]"#, "not a JSON object"),
            (r#"{"do":"thresholds.get"}"#, "do has to be"),
            (r#"{"do":"thresholds.set","scope":{"default":true},"values":{}}"#, "by has to"),
            (r#"{"do":"thresholds.set","scope":{"default":true},"values":{},"by":"x"}"#, "what changes"),
            (r#"{"do":"thresholds.set","scope":{},"values":{"quality_d":1},"by":"x"}"#, "one of default"),
            (
                r#"{"do":"thresholds.set","scope":{"inn":"1","rnm":"2"},"values":{},"by":"x"}"#,
                "one of default",
            ),
            (r#"{"do":"thresholds.set","scope":{"inn":"1x"},"values":{},"by":"x"}"#, "digits"),
            (r#"{"do":"thresholds.set","scope":{"inn":"1"},"values":{"silent":1},"by":"x"}"#, "no threshold"),
            (
                r#"{"do":"thresholds.set","scope":{"inn":"1"},"values":{"unsent_red_d":31},"by":"x"}"#,
                "up to 30",
            ),
            (r#"{"do":"register.place","by":"x"}"#, "rnm has to be there"),
            (r#"{"do":"register.place","rnm":"123456789012345678901","by":"x"}"#, "at most 20"),
            (r#"{"do":"register.place","rnm":"1","by":"x","hours":"9-21"}"#, "hours have to be"),
            (r#"{"do":"register.place","rnm":"1","by":"x","hours":["09:00-10:00"]}"#, "hours have to be"),
            (
                r#"{"do":"register.place","rnm":"1","by":"x","season":{"from":"13-01","to":"01-01"}}"#,
                "season has",
            ),
            (r#"{"do":"register.place","rnm":"1","by":"x","zone_min":900}"#, "zone_min has"),
            (r#"{"do":"register.place","rnm":"1","by":"x","service_to":-1}"#, "service_to has"),
            (r#"{"do":"register.place","rnm":"1","by":"x","colour":"red"}"#, "are known"),
        ] {
            let error = WatchCommand::of_value(&serde_json::from_str(line).unwrap()).unwrap_err();
            assert!(error.contains(why), "{line}: {error}");
        }
    }

    // Each value by itself: an outlet that sets one has the others of its organisation.
    #[test]
    fn each_value_is_inherited_by_itself() {
        let level = |threshold, value| {
            let mut setting = Setting::default();
            setting.set(threshold, Some(value));
            setting
        };
        let register = level(Threshold::SilentYellowH, 1);
        let outlet = level(Threshold::SilentRedH, 2);
        let mut organisation = level(Threshold::SilentRedH, 3);
        organisation.set(Threshold::ShiftRedH, Some(0));
        let default = level(Threshold::QualityD, 5);
        let values = Values::of_levels([&register, &outlet, &organisation, &default]);
        let of = |it| values.of(it);
        assert_eq!((of(Threshold::SilentYellowH), of(Threshold::SilentRedH)), (1, 2));
        assert_eq!((of(Threshold::ShiftRedH), of(Threshold::QualityD)), (0, 5), "zero is set, too");
        assert_eq!(of(Threshold::DriveYellowD), 30);
        organisation.set(Threshold::ShiftRedH, None);
        assert_eq!(Values::of_levels([&organisation]).of(Threshold::ShiftRedH), 24);
        assert!(Threshold::ALL.iter().zip(0..).all(|(it, place)| *it as usize == place));
        assert!(Threshold::ALL.iter().all(|it| it.built_in() <= it.bound()));
        assert!(Setting::default().is_empty() && !default.is_empty());
    }
}
