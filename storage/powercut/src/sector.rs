//! A bad sector under a sealed segment: every way of reading it is tried, and none of them may end the process.
//!
//! The disk answers EIO for one block, as a worn drive does; ext4 hands that to a `read` as EIO, and to whoever reads
//! through a map as SIGBUS. Then the disk is well again, and so must be the readers.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use ofd_storage::{
    Driver, Env, Location, LogOptions, LogReader, NO_PARTITION, NewRecord, Position, RealEnv, RecordKind,
    recover,
};

use crate::disk::{BLOCK_LEN, Overlay};
use crate::machine::Machine;
use crate::workload::{DATA_NAME, payload};

const RECORDS: u64 = 400;
/// The record in whose middle the bad block begins or ends.
const HIT: u64 = 100;
const PAYLOAD_LEN: usize = 500;

/// What was seen, in words; an error where a promise was broken.
pub(crate) fn run(machine: &Machine) -> Result<String> {
    machine.disk().state().reset(Overlay::new());
    machine.make_file_system()?;
    let options = LogOptions { segment_len: 128 << 10, batch_len_max: 8192, ..LogOptions::default() };
    let mut places = Vec::new();
    let mounted = machine.mount()?;
    {
        let env: Arc<dyn Env> = Arc::new(RealEnv::new(mounted.path().join(DATA_NAME)));
        let (log, _) = recover(Arc::clone(&env), options, &mut |_, _| {})?;
        let mut driver = Driver::new(env, log)?;
        for id in 0..RECORDS {
            let bytes = payload(id, PAYLOAD_LEN);
            let parts: &[&[u8]] = &[&bytes];
            let kind = RecordKind::Document;
            let record =
                NewRecord { kind, flags: 0, partition: NO_PARTITION, key_id: 0, answer_code: 0, parts };
            places.push(driver.append(record)?.location);
        }
        driver.seal_all()?;
    }
    mounted.unmount()?;

    let needle = payload(HIT, PAYLOAD_LEN);
    let tail = needle.get(PAYLOAD_LEN - 64..).unwrap_or_default();
    let bad = machine.disk().state().find(tail).context("the record is not on the disk")?;

    // Opened while all is well, met by the bad sector later; then opened with it.
    let mounted = machine.mount()?;
    let env: Arc<dyn Env> = Arc::new(RealEnv::new(mounted.path().join(DATA_NAME)));
    let reader = LogReader::open_read_only(Arc::clone(&env))?;
    machine.disk().state().spoil(Some(bad..bad + BLOCK_LEN as u64));
    let lost = look(&reader, &places)?;
    drop(reader);
    let reader = LogReader::open_read_only(Arc::clone(&env))?;
    ensure!(look(&reader, &places)? == lost, "another look sees something else");
    machine.disk().state().spoil(None);
    // The same reader, whose maps hold zeros where the disk was silent.
    let healed = look(&reader, &places)?;
    ensure!(healed == 0, "{healed} records stay lost although the disk can be read again");
    drop((reader, env));
    mounted.unmount()?;
    Ok(format!(
        "bad sector under a sealed segment: {lost} of {RECORDS} records named as lost, their neighbours served, all \
         of them back with the sector"
    ))
}

/// Reads everything in every way; tells how many records are not there, which each way must agree about.
fn look(reader: &LogReader, places: &[Location]) -> Result<usize> {
    let mut by_place = 0;
    for (id, place) in (0..).zip(places) {
        match reader.read(*place) {
            Ok(record) => {
                ensure!(record.record().payload() == payload(id, PAYLOAD_LEN), "record {id} is another")
            }
            Err(error) => {
                ensure!(error.is_storage_fault(), "record {id}: {error}, which does not name the disk");
                by_place += 1;
            }
        }
    }
    let mut by_walk = 0;
    let mut broken_seals = 0;
    for sealed in reader.sealed_segments() {
        for item in &reader.segment_records(sealed.id)? {
            match item {
                Ok((record, _)) => {
                    let id = record.lsn().get() - 1;
                    ensure!(record.payload() == payload(id, PAYLOAD_LEN), "record {id} of a walk is another");
                }
                Err(damage) => by_walk += usize::try_from(damage.records())?,
            }
        }
        broken_seals += usize::from(reader.check_seal(sealed.id).is_err());
    }
    let (mut by_feed, mut seen) = (0, 0);
    let mut records = reader.records_from(Position::START, reader.durable());
    loop {
        let before = records.position().lsn().get();
        match records.next() {
            Ok(None) => break,
            Ok(Some(_)) => seen += 1,
            Err(error) => {
                let behind = records.position().lsn().get();
                ensure!(behind > before, "a feed stands still: {error}");
                by_feed += usize::try_from(behind - before)?;
            }
        }
    }
    ensure!(by_feed + seen == places.len(), "a feed passes over records without a word");
    ensure!(
        by_place == by_walk && by_walk == by_feed,
        "lost: {by_place} by place, {by_walk} by walk, {by_feed} by feed"
    );
    ensure!(broken_seals == usize::from(by_place > 0), "{broken_seals} seals are broken");
    Ok(by_place)
}
