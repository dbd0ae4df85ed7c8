//! A thousand damaged messages: no crash, no growth, no answer, and nobody else is disturbed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod common;

use common::{Till, code_and_time, fresh, life, with_crc};
use ofd_emit::Prng;

/// One way to damage a message. The result is never a message that could be answered.
fn damage(message: &[u8], way: u64, prng: &mut Prng) -> Vec<u8> {
    let mut bytes = message.to_vec();
    let at = |prng: &mut Prng, from: usize, to: usize| {
        usize::try_from(prng.between(from as u64, to as u64 - 1)).unwrap()
    };
    match way {
        // A flipped bit under the CRC of the container.
        0 => {
            let byte = at(prng, 30, message.len());
            bytes[byte] ^= 1 << prng.below(8);
        }
        // A flipped bit of the signature or the version.
        1 => {
            let byte = at(prng, 0, 6);
            bytes[byte] ^= 1 << prng.below(8);
        }
        // Cut anywhere: the rest never comes.
        2 => bytes.truncate(at(prng, 1, message.len())),
        // A wrong CRC.
        3 => bytes[32] = bytes[32].wrapping_add(1),
        // Lengths that lie, with a CRC that fits.
        4 => {
            let byte = at(prng, 62, 66);
            bytes[byte] ^= 1 << prng.below(8);
            bytes = with_crc(bytes);
        }
        // Nested nonsense: structures within structures, with a CRC that fits.
        5 => {
            let end = bytes.len() - 10;
            let mut left = end - 66;
            let mut from = 66;
            while left >= 4 {
                left -= 4;
                bytes[from..from + 2].copy_from_slice(&1059u16.to_le_bytes());
                bytes[from + 2..from + 4].copy_from_slice(&u16::try_from(left).unwrap().to_le_bytes());
                from += 4;
            }
            bytes = with_crc(bytes);
        }
        // Thirty-two kilobytes of noise.
        6 => bytes = (0..32 * 1024).map(|_| u8::try_from(prng.below(256)).unwrap()).collect(),
        // A header that promises a body that never comes.
        _ => bytes.truncate(30),
    }
    bytes
}

/// Resident memory of this process, bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[test]
fn a_thousand_damaged_messages_disturb_nobody() {
    let (_dir, builder) = fresh();
    let engine = builder.open().unwrap();
    let address = engine.listen("127.0.0.1:0").unwrap();
    let victim = life(81, 0, 12);
    let honest = life(81, 1, 260);
    let mut neighbour = Till::connect(address);
    assert_eq!(code_and_time(&neighbour.ask(&honest[0]).unwrap()).0, 0);
    let mut prng = Prng::new(81, 0);
    let mut before = 0;
    for round in 0..1_000u64 {
        let message = &victim[usize::try_from(prng.below(victim.len() as u64)).unwrap()];
        let bytes = damage(message, round % 8, &mut prng);
        let mut till = Till::connect(address);
        till.try_send(&bytes);
        till.finish_sending();
        assert!(till.answer().is_none(), "round {round} was answered");
        if round % 4 == 3 {
            let next = &honest[usize::try_from(round / 4 + 1).unwrap()];
            assert_eq!(code_and_time(&neighbour.ask(next).unwrap()).0, 0, "the neighbour in round {round}");
        }
        if round == 200 {
            before = resident();
        }
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes more after 800 damaged messages");
    let status = engine.status().unwrap();
    assert_eq!(status.documents, 251, "of the honest neighbour, and nothing else");
    assert!(status.noise > 100);
}
