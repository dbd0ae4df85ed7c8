//! Every system call that touches the data directory fails once, or is the last one: what was confirmed is there.
//!
//! strace is attached to a victim before it begins; the Nth call of one kind, in each thread, gets EIO, ENOSPC, nothing
//! done, a lie about what was done, or SIGKILL. Then, without faults: each confirmed document is there once, byte
//! for byte, and log and archive agree; the victim went on, or ended with 1 and a message: no panic, no other signal,
//! no hang.
//!
//! `OFD_SWEEP_EVERY=1 cargo test --release -p ofd-engine --test faults sweep -- --nocapture` is the whole sweep; by
//! default one in many is tried, others each time. `OFD_SWEEP_KINDS=pwritev,fdatasync` names kinds,
//! `OFD_SWEEP_CASE=fdatasync:Eio:3` repeats one. Needs strace, and says aloud when it is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::say;
use crate::victim::{ALL, HANGS_AFTER, Look, confirmed, look, start};

/// One in so many cases without `OFD_SWEEP_EVERY`.
const EVERY: usize = if cfg!(debug_assertions) { 199 } else { 97 };

/// Whether every thread of it has a tracer.
fn is_traced(victim: &Child) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", victim.id())).unwrap();
    tasks.flatten().all(|task| {
        let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
        status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
    })
}

/// Runs a victim under strace with these arguments; `None` when it hangs.
fn run_traced(home: &Path, arguments: &[String]) -> Option<ExitStatus> {
    let mut victim = start(home, 0);
    let mut strace = Command::new("strace")
        .args(["-f", "-qq"])
        .args(arguments)
        .args(["-p", &victim.id().to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while !is_traced(&victim) {
        assert!(began.elapsed() < HANGS_AFTER, "strace does not attach");
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(victim.stdin.take().map(|mut stdin| stdin.write_all(b"\n")));
    let status = loop {
        if let Some(status) = victim.try_wait().unwrap() {
            break Some(status);
        }
        if began.elapsed() > HANGS_AFTER {
            victim.kill().unwrap();
            victim.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    strace.wait().unwrap();
    status
}

/// Kind of call ─▶ which of them, counted in each thread, touch the data directory.
fn count_calls() -> BTreeMap<String, BTreeSet<usize>> {
    let home = tempfile::tempdir().unwrap();
    let trace = home.path().join("trace");
    let arguments = ["-y", "-s", "4", "-e", "trace=desc,file,mmap", "-o", trace.to_str().unwrap()];
    let status = run_traced(home.path(), &arguments.map(str::to_owned)).expect("a clean run hangs");
    let stderr = std::fs::read_to_string(home.path().join("stderr")).unwrap();
    assert!(status.success(), "a clean run ends with {status}: {stderr}");
    assert_eq!(confirmed(home.path()).len(), ALL, "a clean run confirms all");
    let data = home.path().join("data");
    let data = data.to_str().unwrap();
    let mut counted: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut calls: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for line in std::fs::read_to_string(&trace).unwrap().lines() {
        let Some((thread, rest)) = line.split_once(char::is_whitespace) else { continue };
        let Some((kind, _)) = rest.trim_start().split_once('(') else { continue };
        if kind.contains(|symbol: char| {
            !symbol.is_ascii_lowercase() && !symbol.is_ascii_digit() && symbol != '_'
        }) {
            continue;
        }
        let number = counted.entry((thread.to_owned(), kind.to_owned())).or_default();
        *number += 1;
        if rest.contains(data) {
            calls.entry(kind.to_owned()).or_default().insert(*number);
        }
    }
    calls
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Eio,
    Enospc,
    /// It reports that nothing was done, or that the file ends here.
    Nothing,
    /// It reports 100 bytes and does nothing: no honest disk, so the loss may only be reported.
    Lie,
    Kill,
}

impl Fault {
    const ALL: [Self; 5] = [Self::Eio, Self::Enospc, Self::Nothing, Self::Lie, Self::Kill];

    fn inject(self) -> &'static str {
        match self {
            Self::Eio => "error=EIO",
            Self::Enospc => "error=ENOSPC",
            Self::Nothing => "retval=0",
            Self::Lie => "retval=100",
            Self::Kill => "signal=SIGKILL",
        }
    }

    fn suits(self, kind: &str) -> bool {
        let bytes = ["pwrite64", "pwritev", "pwritev2", "write", "pread64", "preadv", "read"];
        !matches!(self, Self::Nothing | Self::Lie) || bytes.contains(&kind)
    }
}

#[derive(Clone, Debug)]
struct Case {
    kind: String,
    fault: Fault,
    number: usize,
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{:?}:{}", self.kind, self.fault, self.number)
    }
}

/// How a case ended.
#[derive(Clone, Copy, Debug, Default)]
struct Ends {
    cases: usize,
    went_on: usize,
    told: usize,
    killed: usize,
    confirmed: usize,
    /// Lies that were found out.
    reported: usize,
}

/// Runs one case; `Err` is a broken promise.
fn try_case(case: &Case) -> Result<Ends, String> {
    let home = tempfile::tempdir().unwrap();
    let Case { kind, fault, number } = case;
    let arguments = [
        "-o".to_owned(),
        "/dev/null".to_owned(),
        "-e".to_owned(),
        format!("trace={kind}"),
        "-e".to_owned(),
        format!("inject={kind}:{}:when={number}", fault.inject()),
    ];
    let status = run_traced(home.path(), &arguments).ok_or("it hangs")?;
    let stderr = std::fs::read_to_string(home.path().join("stderr")).unwrap();
    if stderr.contains("panicked") {
        return Err(format!("it panics: {stderr}"));
    }
    let mut ends = Ends { cases: 1, ..Ends::default() };
    match (status.code(), status.signal()) {
        (Some(0), _) => ends.went_on = 1,
        (Some(1), _) if stderr.lines().any(|line| line.starts_with("error: ") && line.len() > 20) => {
            ends.told = 1
        }
        (_, Some(9)) if *fault == Fault::Kill => ends.killed = 1,
        _ => return Err(format!("it ends with {status}: {stderr}")),
    }
    let confirmed = confirmed(home.path());
    ends.confirmed = confirmed.len();
    if ends.went_on == 1 && ends.confirmed != ALL {
        return Err(format!("it ends well with {} documents confirmed", ends.confirmed));
    }
    match look(home.path(), 0, &confirmed) {
        Ok(Look { missing: 0, .. }) => Ok(ends),
        // A lie below us can only be found out: silence would be the crime.
        Ok(Look { told: true, .. }) | Err(_) if *fault == Fault::Lie => Ok(Ends { reported: 1, ..ends }),
        Ok(Look { missing, .. }) => Err(format!("{missing} confirmed documents are lost; {stderr}")),
        Err(broken) => Err(format!("{broken}; {stderr}")),
    }
}

/// Cases that broke a promise once.
const BROKE_ONCE: [&str; 1] = [
    // The runtime of an I/O thread could not be made: the engine opened, and a document waited for ever.
    "fcntl:Eio:1",
];

fn parse(case: &str) -> Case {
    let parts: Vec<&str> = case.split(':').collect();
    let fault =
        Fault::ALL.into_iter().find(|fault| format!("{fault:?}").eq_ignore_ascii_case(parts[1])).unwrap();
    Case { kind: parts[0].to_owned(), fault, number: parts[2].parse().unwrap() }
}

fn cases() -> Vec<Case> {
    if let Ok(case) = std::env::var("OFD_SWEEP_CASE") {
        return vec![parse(&case)];
    }
    let every: usize = std::env::var("OFD_SWEEP_EVERY").map_or(EVERY, |every| every.parse().unwrap());
    let kinds = std::env::var("OFD_SWEEP_KINDS").ok();
    let calls = count_calls();
    let counts: Vec<String> =
        calls.iter().map(|(kind, numbers)| format!("{kind} {}", numbers.len())).collect();
    say(&format!(
        "system calls that touch the data directory, by place in their thread: {}",
        counts.join(", ")
    ));
    let wanted = |kind: &str| kinds.as_ref().is_none_or(|kinds| kinds.split(',').any(|name| name == kind));
    let all = calls.iter().filter(|(kind, _)| wanted(kind)).flat_map(|(kind, numbers)| {
        let faults = Fault::ALL.into_iter().filter(move |fault| fault.suits(kind));
        faults.flat_map(move |fault| {
            numbers.iter().map(move |&number| Case { kind: kind.clone(), fault, number })
        })
    });
    // Other cases in each run.
    let some = all.skip(std::process::id() as usize % every).step_by(every);
    BROKE_ONCE.into_iter().map(parse).chain(some).collect()
}

// The promise under every single failure that the kernel can report, and under a kill at every call.
#[test]
fn no_failing_system_call_loses_a_confirmed_document() {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        say("skipped: the sweep over system calls needs strace");
        return;
    }
    let began = Instant::now();
    let queue = Mutex::new(cases().into_iter());
    let results: Mutex<Vec<(Case, Result<Ends, String>)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let Some(case) = queue.lock().unwrap().next() else { return };
                    let result = try_case(&case);
                    if let Err(broken) = &result {
                        say(&format!("OFD_SWEEP_CASE={case}: {broken}"));
                    }
                    results.lock().unwrap().push((case, result));
                }
            });
        }
    });
    let results = results.into_inner().unwrap();
    let mut table: BTreeMap<(String, Fault), Ends> = BTreeMap::new();
    for (case, result) in &results {
        let sum = table.entry((case.kind.clone(), case.fault)).or_default();
        let one = result.as_ref().copied().unwrap_or(Ends { cases: 1, ..Ends::default() });
        sum.cases += one.cases;
        sum.went_on += one.went_on;
        sum.told += one.told;
        sum.killed += one.killed;
        sum.confirmed += one.confirmed;
        sum.reported += one.reported;
    }
    for ((kind, fault), ends) in &table {
        let Ends { cases, went_on, told, killed, confirmed, reported } = ends;
        say(&format!(
            "{kind:12} {fault:?}: {cases} cases, {went_on} went on, {told} ended with a message, {killed} killed, \
             {reported} lies found out, {confirmed} documents confirmed"
        ));
    }
    let broken = results.iter().filter(|(_, result)| result.is_err()).count();
    say(&format!("sweep: {} cases, {broken} broke a promise, in {:.0?}", results.len(), began.elapsed()));
    assert_eq!(broken, 0, "OFD_SWEEP_CASE=… above repeats one");
    assert!(!results.is_empty());
}
