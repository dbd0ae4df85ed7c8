//! A second, naive reading of the light.

use ofd_engine::watch::{
    Colour, Facet, Facts, Hours, Schedule, Season, Setting, Threshold, Trouble, Values, light,
};

use crate::rounds;
use crate::world::{DAY, HOUR, MONDAY, Rng};

/// Seconds for which the clock of silence has run, by walking from minute to minute of the year; `None` when it never gets so far.
fn awaited_until(schedule: &Schedule, heard: u32, seconds: u32) -> Option<u32> {
    let from = heard.max(schedule.service_from);
    let zone = i64::from(schedule.zone_min.unwrap_or(180)) * 60;
    let open = |at: u32| {
        let local = i64::from(at) + zone;
        let (day, second) = (local.div_euclid(86_400), local.rem_euclid(86_400));
        let civil = ofd_engine::codec::Civil::from(ofd_engine::codec::LocalSeconds(local as u32));
        let today = (civil.month, civil.day);
        let in_season = schedule.season.is_none_or(|Season { from, to }| match from <= to {
            true => today >= from && today <= to,
            false => today >= from || today <= to,
        });
        let hours = schedule.hours.map_or(Some((0, 1_440)), |it| it.0[(day + 3).rem_euclid(7) as usize]);
        let inside =
            hours.is_some_and(|(from, to)| second >= i64::from(from) * 60 && second < i64::from(to) * 60);
        in_season && inside
    };
    let until = if schedule.hours.is_none() && schedule.season.is_none() {
        from + seconds
    } else {
        let limit = from + 3 * 366 * DAY;
        let mut at = from;
        let step = |at: u32| at + 60 - at % 60;
        while !open(at) {
            at = step(at);
            if at > limit {
                return None;
            }
        }
        let day_of = |at: u32| (i64::from(at) + zone).div_euclid(86_400);
        let begin = |day: i64| (day * 86_400 - zone) as u32;
        let works = |day: i64| (0..1_440).any(|minute| open(begin(day) + minute * 60));
        // Whole days: the same time of as many days on which it is open, or the nearest time it is.
        let wanted = (i64::from(at) + zone).rem_euclid(86_400) as u32;
        let mut day = day_of(at);
        for _ in 0..seconds / DAY {
            day += 1;
            while !works(day) {
                day += 1;
                if begin(day) > limit {
                    return None;
                }
            }
        }
        let first = (0..1_440).find(|minute| open(begin(day) + minute * 60)).unwrap() * 60;
        let last = (0..1_440).rfind(|minute| open(begin(day) + minute * 60)).unwrap() * 60 + 60;
        let mut at = begin(day) + wanted.max(first).min(last);
        // The rest by seconds of the minutes in which it is open.
        let mut rest = seconds % DAY;
        while rest > 0 {
            let next = step(at);
            if open(at) {
                let part = rest.min(next - at);
                (rest, at) = (rest - part, at + part);
            } else {
                at = next;
            }
            if at > limit {
                return None;
            }
        }
        at
    };
    (schedule.service_to == 0 || until < schedule.service_to).then_some(until)
}

/// The table of features as it is written: colour of each facet.
fn naive(facts: &Facts, values: &Values, schedule: Option<&Schedule>, now: u32) -> [Colour; 6] {
    let value = |it| values.of(it);
    let mut colours = [Colour::Green; 6];
    let mut is = |facet: Facet, colour: Colour, so: bool| {
        if so && colours[facet as usize] < colour {
            colours[facet as usize] = colour;
        }
    };
    let (yellow, red) = (Colour::Yellow, Colour::Red);
    if facts.serving {
        if let Some(heard) = facts.heard_at {
            for (threshold, colour) in [(Threshold::SilentYellowH, yellow), (Threshold::SilentRedH, red)] {
                let until = match schedule {
                    Some(it) => awaited_until(it, heard, value(threshold) * HOUR),
                    None => Some(heard + value(threshold) * HOUR),
                };
                is(Facet::Transfer, colour, value(threshold) > 0 && until.is_some_and(|it| now >= it));
            }
        }
        if let Some(since) = facts.unsent_since {
            for (threshold, colour) in [(Threshold::UnsentYellowD, yellow), (Threshold::UnsentRedD, red)] {
                is(Facet::Transfer, colour, value(threshold) > 0 && now >= since + value(threshold) * DAY);
            }
        }
        is(Facet::Transfer, yellow, facts.flags & 8 > 0);
    }
    if facts.has_drive {
        if let Some(opened) = facts.shift_opened_at {
            for (threshold, colour) in [(Threshold::ShiftYellowH, yellow), (Threshold::ShiftRedH, red)] {
                is(Facet::Shift, colour, value(threshold) > 0 && now >= opened + value(threshold) * HOUR);
            }
        }
        if let Some(end) = facts.drive_ends_at {
            is(Facet::Drive, red, now >= end);
            for (threshold, colour) in [(Threshold::DriveYellowD, yellow), (Threshold::DriveRedD, red)] {
                is(Facet::Drive, colour, value(threshold) > 0 && now + value(threshold) * DAY >= end);
            }
        }
        let (documents, capacity) =
            (u64::from(facts.drive_documents), u64::from(value(Threshold::DriveDocuments)));
        let from = u64::from(value(Threshold::DriveYellowPercent));
        is(Facet::Drive, yellow, capacity > 0 && from > 0 && documents * 100 >= from * capacity);
        is(Facet::Drive, red, capacity > 0 && documents >= capacity);
        is(Facet::Drive, yellow, facts.flags & 1 > 0);
        is(Facet::Drive, red, facts.flags & 6 > 0);
    }
    if let Some(to) = schedule.map(|it| it.service_to).filter(|it| *it > 0) {
        let before = value(Threshold::ServiceYellowD);
        is(Facet::Connection, yellow, before > 0 && now + before * DAY >= to);
        is(Facet::Connection, red, now >= to);
    }
    let trouble = &facts.trouble;
    is(Facet::Registration, yellow, trouble.unregistered_at > 0 && now >= trouble.unregistered_at);
    is(Facet::Registration, red, trouble.refused_at > 0 && now >= trouble.refused_at);
    let lasts = |(first, newest): (u32, u32)| {
        let days = value(Threshold::QualityD);
        first > 0 && now >= first && (days == 0 || now < newest + days * DAY)
    };
    let found = trouble.found.0 > 0 && now >= trouble.found.0 && facts.found_lasts;
    is(Facet::Quality, yellow, found || lasts(trouble.found) || lasts(trouble.soft));
    is(Facet::Quality, red, lasts(trouble.hard));
    colours
}

fn random(rng: &mut Rng) -> (Facts, Values, Option<Schedule>, u32) {
    let now = MONDAY + rng.below(u64::from(30 * DAY)) as u32;
    let around = |rng: &mut Rng, days: u64| {
        let days = days * u64::from(DAY);
        // Round times meet thresholds to the second.
        let at = now + rng.below(days) as u32 - (days / 2) as u32;
        if rng.one_in(2) { at - at % HOUR } else { at }
    };
    let maybe = |rng: &mut Rng, days: u64| (!rng.one_in(3)).then(|| around(rng, days));
    let pair = |rng: &mut Rng| {
        let newest = maybe(rng, 20).unwrap_or(0);
        (if newest > 0 { newest - rng.below(5 * u64::from(DAY)) as u32 } else { 0 }, newest)
    };
    let trouble = Trouble {
        standing: [1; 6],
        unregistered_at: if rng.one_in(4) { around(rng, 20) } else { 0 },
        refused_at: if rng.one_in(4) { around(rng, 20) } else { 0 },
        soft: pair(rng),
        hard: pair(rng),
        found: pair(rng),
    };
    let facts = Facts {
        serving: !rng.one_in(5),
        has_drive: !rng.one_in(5),
        heard_at: maybe(rng, 10),
        shift_opened_at: maybe(rng, 4),
        unsent_since: maybe(rng, 60),
        drive_ends_at: maybe(rng, 100),
        drive_documents: rng.below(300_000) as u32,
        flags: if rng.one_in(3) { rng.below(16) as u8 } else { 0 },
        trouble,
        found_lasts: rng.one_in(3),
    };
    let mut setting = Setting::default();
    for threshold in Threshold::ALL {
        if rng.one_in(3) {
            let most = u64::from(threshold.built_in().max(4)) * 2;
            setting.set(threshold, Some(rng.below(most) as u32).filter(|it| *it <= threshold.bound()));
        }
    }
    let hours = |rng: &mut Rng| {
        let mut week = [None; 7];
        for day in &mut week {
            let (one, other) = (rng.below(1_441) as u16, rng.below(1_441) as u16);
            let range = (one.min(other), one.max(other));
            *day = (!rng.one_in(4) && range.0 < range.1).then_some(range);
        }
        Hours(week)
    };
    let schedule = (!rng.one_in(3)).then(|| Schedule {
        zone_min: (!rng.one_in(2)).then(|| rng.below(15) as i16 * 60 - 60),
        hours: rng.one_in(2).then(|| hours(rng)),
        season: rng.one_in(4).then(|| {
            let mut day = || (1 + rng.below(12) as u8, 1 + rng.below(28) as u8);
            Season { from: day(), to: day() }
        }),
        service_from: if rng.one_in(4) { around(rng, 10) } else { 0 },
        service_to: if rng.one_in(3) { around(rng, 80) } else { 0 },
    });
    (facts, Values::of_levels([&setting]), schedule, now)
}

// The claim of the light: it is the table, to the second, and it knows when it will be another one.
#[test]
fn a_naive_reading_of_the_table_agrees_on_random_states() {
    let mut seen = [[0_u32; 3]; 6];
    let mut changes = 0;
    for seed in 1..=rounds(600) {
        let mut rng = Rng(seed);
        let (facts, values, schedule, now) = random(&mut rng);
        let schedule = schedule.as_ref();
        let check = |now: u32| {
            let got = light(&facts, &values, schedule, now);
            let want = naive(&facts, &values, schedule, now);
            let colours = Facet::ALL.map(|it| got.facets.of(it));
            assert_eq!(colours, want, "seed {seed} at {now}: {facts:?} {values:?} {schedule:?}");
            assert_eq!(got.colour, want.into_iter().max().unwrap());
            assert!(got.reasons.iter().all(|it| it.since <= now && it.facet == it.what.facet()));
            for (facet, colour) in Facet::ALL.into_iter().zip(colours) {
                let worst = got.reasons.iter().filter(|it| it.facet == facet).map(|it| it.colour).max();
                assert_eq!(worst.unwrap_or_default(), colour, "seed {seed}: a colour without a reason");
            }
            got
        };
        let got = check(now);
        for facet in Facet::ALL {
            seen[facet as usize][got.facets.of(facet) as usize] += 1;
        }
        // Until the next change it is the same, with the same reasons; then another one.
        let next = got.next_change_at.unwrap_or(now + 400 * DAY);
        assert!(next > now, "seed {seed}");
        for _ in 0..4 {
            let between = now + rng.below(u64::from(next - now)) as u32;
            assert_eq!(
                light(&facts, &values, schedule, between).reasons,
                got.reasons,
                "seed {seed} {between}"
            );
        }
        let last = light(&facts, &values, schedule, next - 1);
        assert_eq!(last.reasons, got.reasons, "seed {seed}");
        if got.next_change_at.is_some() {
            assert_ne!(check(next).reasons, got.reasons, "seed {seed}: nothing changes at {next}");
            changes += 1;
        }
    }
    println!("facets by colour: {seen:?}, {changes} changes ahead");
    for (facet, counts) in Facet::ALL.into_iter().zip(seen) {
        assert!(counts.into_iter().all(|it| it > 0), "{} never had every colour", facet.as_str());
    }
}
