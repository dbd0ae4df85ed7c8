//! The archive in an object store: the same totals as in a folder, whatever fails, whose answer is lost, or comes too late.
#![cfg(all(feature = "object-store", feature = "testing"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod compact_support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow_array::Int64Array;
use async_trait::async_trait;
use compact_support::*;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path as Key;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, UploadPart,
};
use ofd_codec::Form;
use ofd_storage::columns::Table;
use ofd_storage::columns::read::{column, each_batch};
use ofd_storage::compact::{CompactOptions, compact};
use ofd_storage::manifest::{Archive, FileEntry, Manifest, Run};
use ofd_storage::merge::{MergeRules, merge_archive};
use ofd_storage::retain::{ThinRules, thin_archive};
use ofd_storage::store::place::{Place as Told, adopt, place as told_place, set_place};
use ofd_storage::store::{RemoteStore, Store, Stored};
use ofd_storage::testing::{SimEnv, SimKnobs};
use ofd_storage::verify::verify_source;
use ofd_storage::{Env, ErrorKind, Lsn, Position};

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// It is not done.
    Fails,
    /// It is done, and the answer is lost.
    AnswerLost,
    /// It is done, the answer is lost, and the client of itself does it again and gives the answer of that.
    Repeated,
    /// The answer is lost; a put is done later, when somebody lets it.
    Late,
}

const FAULTS: [Fault; 4] = [Fault::Fails, Fault::AnswerLost, Fault::Repeated, Fault::Late];

/// A store in memory that fails at one request, or from one on.
#[derive(Debug)]
struct Faulty {
    inner: Arc<InMemory>,
    requests: AtomicU64,
    /// At this request, this.
    at: Mutex<Option<(u64, Fault)>>,
    /// Any request, by this seed; one in so many.
    dice: Mutex<Option<(u64, u64)>>,
    /// Nothing is answered at all.
    away: AtomicBool,
    /// Every request takes so long, ms.
    delay_ms: AtomicU64,
    late: Mutex<Vec<(Key, PutPayload, PutOptions)>>,
    /// At this request, or the next one that can, what is late arrives.
    arrives_at: AtomicU64,
}

impl Faulty {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::new(InMemory::new()),
            requests: AtomicU64::new(0),
            at: Mutex::new(None),
            dice: Mutex::new(None),
            away: AtomicBool::new(false),
            delay_ms: AtomicU64::new(0),
            late: Mutex::default(),
            arrives_at: AtomicU64::new(u64::MAX),
        })
    }

    fn fault_at(&self, request: Option<(u64, Fault)>) {
        let now = self.requests.load(Ordering::Relaxed);
        *self.at.lock().unwrap() = request.map(|(at, fault)| (now + at, fault));
    }

    /// Whether the fault has come.
    fn has_struck(&self) -> bool {
        let now = self.requests.load(Ordering::Relaxed);
        self.at.lock().unwrap().is_some_and(|(at, _)| at < now)
    }

    /// What happens to the request of this number.
    fn fault_of(&self, number: u64) -> Option<Fault> {
        let due = self.at.lock().unwrap().filter(|(at, _)| *at == number).map(|(_, fault)| fault);
        let mut dice = self.dice.lock().unwrap();
        let thrown = dice.as_mut().and_then(|(seed, one_in)| {
            *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let thrown = *seed >> 33;
            (thrown % *one_in == 0).then(|| FAULTS[(thrown / *one_in) as usize % FAULTS.len()])
        });
        due.or(thrown)
    }

    async fn request(&self) -> object_store::Result<Option<Fault>> {
        let delay = self.delay_ms.load(Ordering::Relaxed);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        if number >= self.arrives_at.load(Ordering::Relaxed) {
            let late: Vec<_> = self.late.lock().unwrap().drain(..).collect();
            for (key, payload, options) in late {
                // A condition may not hold any more.
                let _ = self.inner.put_opts(&key, payload, options).await;
            }
        }
        if self.away.load(Ordering::Relaxed) {
            return Err(away());
        }
        let struck = self.fault_of(number);
        if struck == Some(Fault::Fails) { Err(away()) } else { Ok(struck) }
    }

    /// Lets what was under way arrive.
    fn let_arrive(&self) -> usize {
        let late: Vec<_> = self.late.lock().unwrap().drain(..).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let arrived = late.len();
        for (key, payload, options) in late {
            // A condition may not hold any more.
            let _ = runtime.block_on(self.inner.put_opts(&key, payload, options));
        }
        arrived
    }
}

fn away() -> object_store::Error {
    object_store::Error::Generic { store: "faulty", source: "503 Slow Down".into() }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        key: &Key,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        match self.request().await? {
            None => self.inner.put_opts(key, payload, options).await,
            Some(Fault::Repeated) => {
                let _ = self.inner.put_opts(key, payload.clone(), options.clone()).await;
                self.inner.put_opts(key, payload, options).await
            }
            Some(Fault::Late) => {
                self.late.lock().unwrap().push((key.clone(), payload, options));
                Err(away())
            }
            Some(_) => {
                let _ = self.inner.put_opts(key, payload, options).await;
                Err(away())
            }
        }
    }
    async fn put_multipart_opts(
        &self,
        key: &Key,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        if self.request().await?.is_some() {
            return Err(away());
        }
        Ok(Box::new(Upload { inner: self.inner.put_multipart_opts(key, options).await? }))
    }
    async fn get_opts(&self, key: &Key, options: GetOptions) -> object_store::Result<GetResult> {
        match self.request().await? {
            None | Some(Fault::Repeated) => self.inner.get_opts(key, options).await,
            Some(_) => Err(away()),
        }
    }
    fn delete_stream(
        &self,
        keys: BoxStream<'static, object_store::Result<Key>>,
    ) -> BoxStream<'static, object_store::Result<Key>> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let struck = self.fault_of(number);
        if self.away.load(Ordering::Relaxed) || struck == Some(Fault::Fails) {
            return futures::stream::once(async { Err(away()) }).boxed();
        }
        let done = self.inner.delete_stream(keys);
        match struck {
            None | Some(Fault::Repeated) => done,
            Some(_) => done.map(|_| Err(away())).boxed(),
        }
    }
    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let struck = self.fault_of(number).is_some_and(|fault| fault != Fault::Repeated);
        if struck || self.away.load(Ordering::Relaxed) {
            return futures::stream::once(async { Err(away()) }).boxed();
        }
        self.inner.list(prefix)
    }
    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }
    async fn copy_opts(&self, from: &Key, to: &Key, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct Upload {
    inner: Box<dyn MultipartUpload>,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }
    async fn complete(&mut self) -> object_store::Result<PutResult> {
        self.inner.complete().await
    }
    async fn abort(&mut self) -> object_store::Result<()> {
        self.inner.abort().await
    }
}

const DOCUMENTS: u64 = 3;

fn told() -> Told {
    Told { url: "s3://test/of/an/operator".to_owned(), ..Told::default() }
}

fn remote(objects: &Arc<Faulty>) -> Arc<dyn Store> {
    let objects: Arc<dyn ObjectStore> = Arc::clone(objects) as _;
    Arc::new(RemoteStore::new(objects, "s3://test/of/an/operator", "of/an/operator").unwrap())
}

/// A machine whose directory names the store.
fn machine(env: Arc<dyn Env>, store: &Arc<dyn Store>) -> Arc<dyn Env> {
    set_place(&*env, &told()).unwrap();
    Arc::new(Stored::new(env, Arc::clone(store)))
}

/// Every object with its bytes, by name below the prefix.
fn objects(faulty: &Faulty) -> BTreeMap<String, Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut out = BTreeMap::new();
        let mut all = faulty.inner.list(None);
        while let Some(object) = all.next().await {
            let key = object.unwrap().location;
            let bytes = faulty.inner.get(&key).await.unwrap().bytes().await.unwrap();
            let name = key.as_ref().strip_prefix("of/an/operator/").unwrap().to_owned();
            out.insert(name, bytes.to_vec());
        }
        out
    })
}

fn parquet_of(objects: &BTreeMap<String, Vec<u8>>) -> BTreeSet<String> {
    objects.keys().filter(|name| name.ends_with(".parquet")).cloned().collect()
}

/// How far a manifest reaches and what it names, all of which is there, whole.
fn names_of(manifest: &Manifest, objects: &BTreeMap<String, Vec<u8>>) -> (u64, BTreeSet<String>) {
    let files = manifest.runs.iter().flat_map(|run| &run.files);
    for file in files.clone() {
        let object = &objects[file.path().to_str().unwrap()];
        assert_eq!(object.len() as u64, file.bytes, "{}", file.name);
        assert_eq!(blake3::hash(object).to_hex().as_str(), file.blake3, "{}", file.name);
    }
    let names = files.map(|file| file.path().to_str().unwrap().to_owned()).collect();
    (manifest.compacted_through, names)
}

/// The same of the manifest that everybody else reads.
fn named(objects: &BTreeMap<String, Vec<u8>>) -> (u64, BTreeSet<String>) {
    let manifest = objects.get("archive.json").map(|bytes| serde_json::from_slice(bytes).unwrap());
    names_of(&manifest.unwrap_or_default(), objects)
}

/// The truth of both readers, that of the directory and that of everybody else: whole runs, whole files.
fn whole(env: &Arc<dyn Env>, faulty: &Faulty, what: &str) -> u64 {
    let all = objects(faulty);
    let (there, _) = named(&all);
    let (here, _) = names_of(&Manifest::load(&**env).unwrap().unwrap_or_default(), &all);
    assert!([0, 2, 3].contains(&here) && [0, 2, 3].contains(&there), "{what}: {here} {there}");
    assert!(there >= here, "{what}: the directory is before the store");
    here
}

/// And every document of the log in it once.
fn sound(env: &Arc<dyn Env>, faulty: &Faulty, what: &str) -> u64 {
    let here = whole(env, faulty, what);
    let report = verify_source(&log_of_three(), env).unwrap();
    assert!(report.ok, "{what}: {:?}", report.problems);
    assert_eq!(report.parquet_rows, here, "{what}");
    here
}

/// Positions of a table, each once.
fn positions(env: &Arc<dyn Env>, table: Table) -> BTreeSet<i64> {
    let mut seen = BTreeSet::new();
    for file in Archive::open(env).unwrap().files(table) {
        each_batch(&**env, &file.path(), &["position"], |batch| {
            for position in column::<Int64Array>(batch, &file.path(), "position")?.values() {
                assert!(seen.insert(*position), "{position} twice");
            }
            Ok(())
        })
        .unwrap();
    }
    seen
}

/// The runs of a manifest, the names of their files aside: what must be the same wherever the archive lies, to the byte.
fn totals(env: &Arc<dyn Env>) -> Vec<Run> {
    let bare = |file: &FileEntry| FileEntry { name: String::new(), ..file.clone() };
    let archive = Archive::open(env).unwrap();
    let run = |run: &Run| Run { files: run.files.iter().map(bare).collect(), ..run.clone() };
    archive.runs().iter().map(run).collect()
}

fn local_totals() -> Vec<Run> {
    let place = place();
    compact(&log_of_three(), &place.env, &small_runs()).unwrap();
    totals(&place.env)
}

/// What an operator gets: the same archive as in a folder, readable by name and by range.
#[test]
fn an_archive_in_a_store_is_the_one_of_a_folder() {
    let (here, faulty) = (place(), Faulty::new());
    let env = machine(Arc::clone(&here.env), &remote(&faulty));
    let report = compact(&log_of_three(), &env, &small_runs()).unwrap();
    assert_eq!((report.documents, report.runs, report.compacted_through.as_u64()), (3, 2, 3));
    assert_eq!(sound(&env, &faulty, "whole"), DOCUMENTS);
    assert_eq!(totals(&env), local_totals());
    let all = objects(&faulty);
    assert_eq!(parquet_of(&all), named(&all).1);
    for name in parquet_of(&all) {
        let folder = name.rsplit_once('/').unwrap().0;
        assert_eq!(all[&format!("{folder}/_SUCCESS")], b"", "{folder}");
    }
    assert!(!here.dir.path().join("parquet").exists());
    assert!(
        std::fs::read_dir(here.dir.path().join(".staging"))
            .unwrap()
            .all(|it| it.unwrap().file_name() == "_SUCCESS")
    );
    // One document, by drive and number, and the whole of it.
    let archive = Archive::open(&env).unwrap();
    let found = archive.find_container("9960440300000001", 2).unwrap();
    assert_eq!(found.len(), 1);
    let record = archive.document(Position::new(Lsn::new(2)), "9960440300000001", 2).unwrap().unwrap();
    assert_eq!(record.record().lsn(), Lsn::new(2));
    let mut walk =
        ofd_storage::manifest::Walk::new(&env, Position::new(Lsn::NONE), Position::new(Lsn::new(3)));
    let mut walked = Vec::new();
    while let Some(record) = walk.next_record().unwrap() {
        walked.push(record.record().lsn().get());
    }
    assert_eq!(walked, [1, 2, 3]);
    // Again: nothing.
    let before = objects(&faulty);
    assert_eq!(compact(&log_of_three(), &env, &small_runs()).unwrap().runs, 0);
    assert_eq!(objects(&faulty), before);
}

/// The heart of it: whichever request fails, is done and not answered, or is done later, at the moment or after the next
/// attempt, the totals are those of a folder in the end, and what is committed on the way is whole.
#[test]
fn a_fault_at_any_request_leaves_whole_runs_and_the_same_totals() {
    let reference = local_totals();
    let mut cut = 0;
    for fault in FAULTS {
        for late_arrives in [false, true] {
            if late_arrives && fault != Fault::Late {
                continue;
            }
            for request in 0.. {
                let what = format!("{fault:?} at {request}, arrives before: {late_arrives}");
                let (here, faulty) = (place(), Faulty::new());
                let env = machine(Arc::clone(&here.env), &remote(&faulty));
                faulty.fault_at(Some((request, fault)));
                let outcome = compact(&log_of_three(), &env, &small_runs());
                let struck = faulty.has_struck();
                faulty.fault_at(None);
                if let Err(error) = &outcome {
                    assert_eq!(error.kind(), ErrorKind::Retry, "{what}: {error}");
                    assert_ne!(fault, Fault::Repeated, "{what}: {error}");
                }
                whole(&env, &faulty, &what);
                if late_arrives {
                    faulty.let_arrive();
                    whole(&env, &faulty, &what);
                }
                let report = compact(&log_of_three(), &env, &small_runs())
                    .unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(report.compacted_through.as_u64(), DOCUMENTS, "{what}");
                if faulty.let_arrive() > 0 {
                    // A file that nobody names: retention clears it away.
                    thin_archive(&env, &ThinRules::default()).unwrap();
                }
                assert_eq!(sound(&env, &faulty, &what), DOCUMENTS);
                assert_eq!(totals(&env), reference, "{what}");
                let all = objects(&faulty);
                assert_eq!(parquet_of(&all), named(&all).1, "{what}: files that nobody names");
                if !struck {
                    assert!(outcome.is_ok());
                    break;
                }
                cut += 1;
            }
        }
    }
    assert!(cut > 100, "only {cut} faults");
}

/// The put of a manifest whose answer is lost arrives at any moment of the next attempt: it commits what it was to commit, or
/// nothing, and never names files that are gone.
#[test]
fn a_commit_that_arrives_late_names_no_file_that_is_gone() {
    let reference = local_totals();
    let mut tried = 0;
    for request in 0..60 {
        let late = |faulty: &Faulty| {
            faulty.late.lock().unwrap().iter().any(|(key, ..)| key.as_ref().ends_with("archive.json"))
        };
        for arrives in 0.. {
            let what = format!("late at {request}, arrives at {arrives} of the next attempt");
            let (here, faulty) = (place(), Faulty::new());
            let env = machine(Arc::clone(&here.env), &remote(&faulty));
            faulty.fault_at(Some((request, Fault::Late)));
            let outcome = compact(&log_of_three(), &env, &small_runs());
            faulty.fault_at(None);
            if !late(&faulty) {
                break;
            }
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Retry, "{what}");
            faulty.arrives_at.store(faulty.requests.load(Ordering::Relaxed) + arrives, Ordering::Relaxed);
            let second = compact(&log_of_three(), &env, &small_runs());
            whole(&env, &faulty, &what);
            let has_arrived = !late(&faulty);
            if let Err(error) = second {
                assert_eq!(error.kind(), ErrorKind::Retry, "{what}: {error}");
            }
            compact(&log_of_three(), &env, &small_runs()).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(whole(&env, &faulty, &what), DOCUMENTS, "{what}");
            assert_eq!(totals(&env), reference, "{what}");
            tried += 1;
            if !has_arrived {
                break;
            }
        }
    }
    assert!(tried > 40, "only {tried} arrivals");
}

/// Many faults one after another, of the store and of the machine, what was late arriving whenever it likes: each round leaves
/// whole runs, and the first quiet one ends in the totals of a folder.
#[test]
fn any_history_of_faults_ends_in_the_same_totals() {
    let reference = local_totals();
    let (mut cuts, mut failed, mut late) = (0, 0, 0);
    for seed in 0..24_u64 {
        let knobs = SimKnobs { torn_sectors: true, names_in_any_order: true, ..SimKnobs::default() };
        let (mut sim, faulty) = (SimEnv::new(seed, knobs), Faulty::new());
        let store = remote(&faulty);
        let mut env = machine(Arc::new(sim.clone()), &store);
        for round in 0..8_u64 {
            let what = format!("seed {seed}, round {round}");
            let thrown = seed
                .wrapping_mul(0x9E37_79B9_7F4A_7C15)
                .wrapping_add(round.wrapping_mul(0xD1B5_4A32_D192_ED03));
            *faulty.dice.lock().unwrap() = Some((thrown, 10 + thrown % 30));
            sim.cut_power_after((thrown % 3 == 0).then_some(thrown % 60 + 1));
            failed += u32::from(compact(&log_of_three(), &env, &small_runs()).is_err());
            *faulty.dice.lock().unwrap() = None;
            sim.cut_power_after(None);
            if sim.is_off() {
                cuts += 1;
                sim = sim.power_cut();
                env = machine(Arc::new(sim.clone()), &store);
            }
            whole(&env, &faulty, &what);
            if thrown % 5 < 2 {
                late += faulty.let_arrive();
                whole(&env, &faulty, &what);
            }
        }
        let what = format!("seed {seed}");
        let report =
            compact(&log_of_three(), &env, &small_runs()).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(report.compacted_through.as_u64(), DOCUMENTS, "{what}");
        late += faulty.let_arrive();
        thin_archive(&env, &ThinRules::default()).unwrap();
        assert_eq!(sound(&env, &faulty, &what), DOCUMENTS);
        assert_eq!(totals(&env), reference, "{what}");
        let all = objects(&faulty);
        assert_eq!(parquet_of(&all), named(&all).1, "{what}: files that nobody names");
    }
    assert!(cuts > 5 && failed > 40 && late > 4, "{cuts} cuts, {failed} failures, {late} late");
}

/// A store that is away is a reason to wait, not to lose: nothing is committed, nothing forgotten, and readers of the
/// manifest are served as before.
#[test]
fn a_store_that_is_away_is_waited_for() {
    let (here, faulty) = (place(), Faulty::new());
    let env = machine(Arc::clone(&here.env), &remote(&faulty));
    let one = MemoryLog { segments: log_of_three().segments[..1].to_vec() };
    compact(&one, &env, &small_runs()).unwrap();
    faulty.away.store(true, Ordering::Relaxed);
    for _ in 0..3 {
        assert_eq!(compact(&log_of_three(), &env, &small_runs()).unwrap_err().kind(), ErrorKind::Retry);
    }
    assert_eq!(Archive::open(&env).unwrap().compacted_through().as_u64(), 2);
    let found = Archive::open(&env).unwrap().find_container("9960440300000001", 1);
    assert_eq!(found.unwrap_err().kind(), ErrorKind::Retry);
    // It is no damage either.
    assert_eq!(verify_source(&log_of_three(), &env).unwrap_err().kind(), ErrorKind::Retry);
    faulty.away.store(false, Ordering::Relaxed);
    assert_eq!(compact(&log_of_three(), &env, &small_runs()).unwrap().compacted_through.as_u64(), DOCUMENTS);
    assert_eq!(totals(&env), local_totals());
}

/// A slow store is a slow one.
#[test]
fn a_slow_store_gives_the_same_archive() {
    let (here, faulty) = (place(), Faulty::new());
    let env = machine(Arc::clone(&here.env), &remote(&faulty));
    faulty.delay_ms.store(3, Ordering::Relaxed);
    compact(&log_of_three(), &env, &small_runs()).unwrap();
    assert_eq!(sound(&env, &faulty, "slow"), DOCUMENTS);
}

/// The power fails at any change of the directory, with a store that goes on: the next owner finds out what was committed.
#[test]
fn a_power_cut_at_any_change_of_the_directory_leaves_whole_runs() {
    let reference = local_totals();
    let mut cuts = 0;
    for call in 1.. {
        let what = format!("cut at {call}");
        let knobs = SimKnobs { torn_sectors: true, names_in_any_order: true, ..SimKnobs::default() };
        let (sim, faulty) = (SimEnv::new(call, knobs), Faulty::new());
        let store = remote(&faulty);
        let env = machine(Arc::new(sim.clone()), &store);
        sim.cut_power_after(Some(call));
        let outcome = compact(&log_of_three(), &env, &small_runs());
        sim.cut_power_after(None);
        if !sim.is_off() {
            outcome.unwrap();
            break;
        }
        cuts += 1;
        let sim = sim.power_cut();
        let env = machine(Arc::new(sim.clone()), &store);
        whole(&env, &faulty, &what);
        let report =
            compact(&log_of_three(), &env, &small_runs()).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(report.compacted_through.as_u64(), DOCUMENTS, "{what}");
        assert_eq!(sound(&env, &faulty, &what), DOCUMENTS);
        assert_eq!(totals(&env), reference, "{what}");
        let all = objects(&faulty);
        assert_eq!(parquet_of(&all), named(&all).1, "{what}: files that nobody names");
    }
    assert!(cuts > 60, "only {cuts} cuts");
}

/// Two directories, or a directory and its copy, never write one archive.
#[test]
fn a_second_writer_is_refused_and_changes_nothing() {
    let (here, other, faulty) = (place(), place(), Faulty::new());
    let store = remote(&faulty);
    let env = machine(Arc::clone(&here.env), &store);
    let one = MemoryLog { segments: log_of_three().segments[..1].to_vec() };
    compact(&one, &env, &small_runs()).unwrap();
    let before = objects(&faulty);
    // Another directory.
    let second = machine(Arc::clone(&other.env), &store);
    let error = compact(&log_of_three(), &second, &small_runs()).unwrap_err();
    assert!(error.kind() == ErrorKind::Fix && error.to_string().contains("adopt"), "{error}");
    assert_eq!(objects(&faulty), before);
    // A copy of this one, once the other of the two has written.
    let copy = place();
    for name in ["archive.json", "archive-store.json"] {
        std::fs::copy(here.dir.path().join(name), copy.dir.path().join(name)).unwrap();
    }
    let copy = machine(Arc::clone(&copy.env), &store);
    compact(&log_of_three(), &env, &small_runs()).unwrap();
    let before = objects(&faulty);
    let error = compact(&log_of_three(), &copy, &small_runs()).unwrap_err();
    assert!(error.kind() == ErrorKind::Fix && error.to_string().contains("copy"), "{error}");
    assert_eq!(objects(&faulty), before);
    assert_eq!(sound(&env, &faulty, "first"), DOCUMENTS);
}

/// The directory is lost, its log comes back from elsewhere: the archive is taken over by word, and then the old one is
/// refused.
#[test]
fn an_archive_is_adopted_by_word_and_the_directory_of_before_is_refused() {
    let (here, other, faulty) = (place(), place(), Faulty::new());
    let store = remote(&faulty);
    let env = machine(Arc::clone(&here.env), &store);
    let one = MemoryLog { segments: log_of_three().segments[..1].to_vec() };
    compact(&one, &env, &small_runs()).unwrap();
    let second = machine(Arc::clone(&other.env), &store);
    let error = adopt(&second, Lsn::new(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "a log that ends before the archive: {error}");
    adopt(&second, Lsn::new(3)).unwrap();
    assert_eq!(compact(&log_of_three(), &second, &small_runs()).unwrap().documents, 1);
    assert_eq!(sound(&second, &faulty, "second"), DOCUMENTS);
    assert_eq!(totals(&second), local_totals());
    assert_eq!(compact(&log_of_three(), &env, &small_runs()).unwrap_err().kind(), ErrorKind::Fix);
}

/// A manifest that is gone is not an empty archive.
#[test]
fn a_lost_manifest_is_refused_and_nothing_is_removed() {
    let (here, faulty) = (place(), Faulty::new());
    let env = machine(Arc::clone(&here.env), &remote(&faulty));
    let one = MemoryLog { segments: log_of_three().segments[..1].to_vec() };
    compact(&one, &env, &small_runs()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(faulty.inner.delete(&Key::from("of/an/operator/archive.json"))).unwrap();
    let before = objects(&faulty);
    let error = compact(&log_of_three(), &env, &small_runs()).unwrap_err();
    assert!(error.kind() == ErrorKind::Fix && error.to_string().contains("missing"), "{error}");
    assert_eq!(objects(&faulty), before);
    // Nor by a directory that knows nothing of it.
    let other = place();
    let second = machine(Arc::clone(&other.env), &remote(&faulty));
    assert_eq!(compact(&log_of_three(), &second, &small_runs()).unwrap_err().kind(), ErrorKind::Fix);
    assert_eq!(objects(&faulty), before);
}

/// Rows whose years are over leave by new names: who has the manifest of before reads what it names for an hour longer.
#[test]
fn what_leaves_the_archive_stays_for_readers_of_before() {
    let sent = |number: u32, form: Form, date: &str| {
        let lines = if form == Form::RECEIPT { vec![line("Чай", 100)] } else { vec![] };
        Sent::of(&Receipt {
            form,
            at: noon(date),
            ..receipt("7704211201", "9960440300000001", number, lines)
        })
    };
    // The registration stays: its drive lives.
    let documents = [
        sent(1, Form::REGISTRATION, "2018-01-10"),
        sent(2, Form::RECEIPT, "2018-01-10"),
        sent(3, Form::RECEIPT, "2018-01-11"),
    ];
    let log = MemoryLog::of(&documents, 3);
    let (sim, local) = sim(7);
    let faulty = Faulty::new();
    let env = machine(local, &remote(&faulty));
    compact(&log, &env, &small_runs()).unwrap();
    let before = Archive::open(&env).unwrap();
    let old = parquet_of(&objects(&faulty));
    let rules = ThinRules {
        now_us: i64::from(noon("2024-01-20")) * 1_000_000,
        keep_years: 5,
        log_begins: Lsn::new(4),
        ..ThinRules::default()
    };
    let report = thin_archive(&env, &rules).unwrap();
    assert_eq!((report.documents, report.runs), (2, 1));
    assert_eq!(positions(&env, Table::Documents), BTreeSet::from([1]));
    assert_eq!(positions(&env, Table::Containers), BTreeSet::from([1]));
    // The manifest of before still reads.
    assert_eq!(before.find_container("9960440300000001", 2).unwrap().len(), 1);
    let both = parquet_of(&objects(&faulty));
    assert!(both.is_superset(&old), "a name was used twice or is gone");
    // Within the hour, and behind it.
    sim.advance(3_000_000_000, 3_000_000_000);
    compact(&log, &env, &CompactOptions::default()).unwrap();
    assert!(parquet_of(&objects(&faulty)).is_superset(&old));
    sim.advance(700_000_000, 700_000_000);
    compact(&log, &env, &CompactOptions::default()).unwrap();
    let all = objects(&faulty);
    assert_eq!(parquet_of(&all), named(&all).1);
    assert!(!all.keys().any(|name| name.contains("date=2018-01-11")), "an empty folder stays: {all:?}");
}

/// Folders do not change places in a store, so days are not merged there, and that is said.
#[test]
fn nothing_is_merged_in_a_store() {
    let (here, faulty) = (place(), Faulty::new());
    let env = machine(Arc::clone(&here.env), &remote(&faulty));
    compact(&log_of_three(), &env, &small_runs()).unwrap();
    let before = objects(&faulty);
    let rules = MergeRules { now_us: NOON_US + 90 * 86_400_000_000, ..MergeRules::default() };
    assert!(merge_archive(&env, &rules).unwrap().unsupported);
    assert_eq!(objects(&faulty), before);
}

/// A long file goes in parts and comes back the same, by ranges of any length.
#[test]
fn a_long_file_goes_in_parts() {
    let (here, faulty) = (place(), Faulty::new());
    let store = remote(&faulty);
    let bytes: Vec<u8> =
        (0..(17_u32 << 20) + 5).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(here.dir.path().join("long"), &bytes).unwrap();
    let path = Path::new("parquet/documents/date=2024-05-15/long.parquet");
    store.put(path, &*here.env.open_read(Path::new("long")).unwrap()).unwrap();
    let file = store.open(path).unwrap();
    assert_eq!(file.len().unwrap(), bytes.len() as u64);
    for (from, len) in
        [(0, 1), (5, 300_000), (bytes.len() - 3, 10), (8 << 20, 4), (bytes.len() - 200_000, 200_000)]
    {
        let wanted = &bytes[from..(from + len).min(bytes.len())];
        let mut read = vec![0; wanted.len()];
        ofd_storage::env::read_exact_at(&*file, &mut read, from as u64).unwrap();
        assert!(read == wanted, "{from} {len}");
    }
    assert_eq!(file.read_at(&mut [0; 8], bytes.len() as u64).unwrap(), 0);
    assert!(file.write_at(&[], 0).is_err() && file.set_len(0).is_err());
}

/// A directory says where its archive is, and does not change its mind once it has one.
#[test]
fn the_place_of_an_archive_is_told_once() {
    let here = place();
    assert!(set_place(&*here.env, &Told { url: "http://somewhere".into(), ..Told::default() }).is_err());
    assert_eq!(told_place(&*here.env).unwrap(), None);
    let faulty = Faulty::new();
    let env = machine(Arc::clone(&here.env), &remote(&faulty));
    let elsewhere = Told { url: "s3://other/place".into(), ..Told::default() };
    set_place(&*here.env, &elsewhere).unwrap();
    set_place(&*here.env, &told()).unwrap();
    compact(&log_of_three(), &env, &small_runs()).unwrap();
    let error = set_place(&*here.env, &elsewhere).unwrap_err();
    assert!(error.to_string().contains("s3://test/of/an/operator"), "{error}");
    let moved = Told { endpoint: Some("http://127.0.0.1:9".into()), ..told() };
    set_place(&*here.env, &moved).unwrap();
    assert_eq!(told_place(&*here.env).unwrap(), Some(moved));
    // Without the file nobody takes the archive for an empty one, or for one in the folder.
    std::fs::remove_file(here.dir.path().join("archive-store.json")).unwrap();
    assert_eq!(Archive::open(&here.env).err().unwrap().kind(), ErrorKind::Fix);
    assert_eq!(compact(&log_of_three(), &here.env, &small_runs()).unwrap_err().kind(), ErrorKind::Fix);
    // An archive that has begun in the folder stays there.
    let folder = place();
    compact(&log_of_three(), &folder.env, &small_runs()).unwrap();
    assert_eq!(set_place(&*folder.env, &told()).unwrap_err().kind(), ErrorKind::Fix);
}
