//! The engine when the process has no descriptor left. A program of its own: the limit is the whole process's.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod common;

use std::fs::File;
use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use ofd_engine::host::Capability;

use common::{Till, code_and_time, fresh, life};
use rustix::net::{AddressFamily, SocketType, connect, socket};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

fn cpu() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(used.tv_sec.try_into().unwrap(), used.tv_nsec.try_into().unwrap())
}

/// Out of descriptors: whoever waits is told by the end of his connection, the port does not spin, and it goes on by
/// itself.
#[test]
fn without_descriptors_the_port_neither_hangs_nor_spins() {
    let (_dir, builder) = fresh();
    let engine = builder.open().unwrap();
    let address = engine.listen("127.0.0.1:0").unwrap();
    let messages = life(1, 0, 2);
    let mut till = Till::connect(address);
    assert_eq!(code_and_time(&till.ask(&messages[0]).unwrap()).0, 0);

    // Threads behind the port open files of their own at the start; a descriptor that one of them gives back later would let a
    // connection in.
    let book = engine.registers(&Capability::operator());
    assert!(book.wait(engine.durable(), Duration::from_secs(20)));
    std::thread::sleep(Duration::from_millis(500));
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(100), maximum: limit.maximum }).unwrap();
    let waiting: Vec<_> =
        (0..5).map(|_| socket(AddressFamily::INET, SocketType::STREAM, None).unwrap()).collect();
    let mut fillers = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        fillers.push(file);
    }
    let (begun, used) = (Instant::now(), cpu());
    for socket in waiting {
        connect(&socket, &address).unwrap();
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let came = stream.read(&mut [0; 1]);
        assert!(
            matches!(came, Ok(0)) || came.is_err_and(|it| it.kind() == std::io::ErrorKind::ConnectionReset)
        );
        // Its descriptor must not help the next one.
        drop(stream);
        fillers.push(File::open("/dev/null").unwrap());
    }
    let (took, used) = (begun.elapsed(), cpu() - used);
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert!(used < took / 2 + Duration::from_millis(100), "{used:?} of processor time in {took:?}");
    assert_eq!(code_and_time(&till.ask(&messages[1]).unwrap()).0, 0, "who is inside is served");

    drop(fillers);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(code_and_time(&Till::connect(address).ask(&messages[1]).unwrap()).0, 0);
    setrlimit(Resource::Nofile, limit).unwrap();
    engine.shutdown().unwrap();
}
