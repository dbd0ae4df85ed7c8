//! The wire as a register knows it, read and written without the codec under test.
//!
//! Source: the drive's side of the protocol: session header (30 bytes), container (header 32, one TLV, trailer 10),
//! CRC-16 with polynomial 0x1021 and start 0xFFFF over everything but itself.

/// A drive and the number of a document in it.
pub type Key = ([u8; 16], u32);

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub key: Key,
    pub code: u8,
    pub accepted_at: u32,
}

pub fn crc(container: &[u8]) -> u16 {
    let covered = container[..2].iter().chain(&container[4..]);
    covered.fold(0xFFFF, |mut crc: u16, byte| {
        crc ^= u16::from(*byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 };
        }
        crc
    })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

/// The length of the message that begins here, once its header is there.
pub fn message_len(bytes: &[u8]) -> Option<usize> {
    (bytes.len() >= 30).then(|| 30 + usize::from(u16_at(bytes, 24).unwrap()))
}

/// The value of a tag at this level.
fn tag(mut level: &[u8], wanted: u16) -> Result<&[u8], String> {
    while !level.is_empty() {
        let (code, len) = (u16_at(level, 0), u16_at(level, 2).map(usize::from));
        let value = len.and_then(|len| level.get(4..4 + len)).ok_or("a tag runs over the end")?;
        if code == Some(wanted) {
            return Ok(value);
        }
        level = &level[4 + value.len()..];
    }
    Err(format!("no tag {wanted}"))
}

/// Reads a whole answer, as strict as a drive.
pub fn read_answer(message: &[u8]) -> Result<Answer, String> {
    let wrong = |what: &str| Err(format!("an answer with {what}"));
    if message[..6] != [0x2A, 0x08, 0x41, 0x0A, 0x81, 0xA2] || message[26..30] != [0x14, 0, 0, 0] {
        return wrong("another session header");
    }
    let drive: [u8; 16] = message[8..24].try_into().unwrap();
    let container = &message[30..];
    if container.len() < 46 || usize::from(u16_at(container, 0).unwrap()) != container.len() {
        return wrong("a wrong length");
    }
    if u16_at(container, 2) != Some(crc(container)) {
        return wrong("a wrong checksum");
    }
    if container[4..9] != [0x5A, 7, 1, 0x10, 0x09] || container[9..17] != bcd(&drive) {
        return wrong("another container header");
    }
    let number = u32::from_be_bytes([0, container[17], container[18], container[19]]);
    let (body, trailer) = container[32..].split_at(container.len() - 42);
    if trailer[..2] != [0x82, 0x06] || trailer[8..] != [0, 0] {
        return wrong("another trailer");
    }
    let document = tag(body, 7)?;
    let order: Vec<u16> = {
        let (mut rest, mut order) = (document, Vec::new());
        while let (Some(code), Some(len)) = (u16_at(rest, 0), u16_at(rest, 2)) {
            order.push(code);
            rest = rest.get(4 + usize::from(len)..).ok_or("a tag runs over the end")?;
        }
        order
    };
    if order != [1017, 1078, 1041, 1040, 1012, 1068] {
        return Err(format!("an answer with the tags {order:?}"));
    }
    let u32_of =
        |value: &[u8]| value.try_into().map(u32::from_le_bytes).map_err(|_| "not four bytes".to_owned());
    if tag(document, 1041)? != drive || u32_of(tag(document, 1040)?)? != number {
        return wrong("parts that disagree");
    }
    let [code] = *tag(tag(document, 1068)?, 1022)? else { return wrong("no code") };
    Ok(Answer { key: (drive, number), code, accepted_at: u32_of(tag(document, 1012)?)? })
}

fn bcd(drive: &[u8; 16]) -> [u8; 8] {
    let digit = |byte: u8| if byte.is_ascii_digit() { byte - b'0' } else { 0xF };
    std::array::from_fn(|at| digit(drive[2 * at]) << 4 | digit(drive[2 * at + 1]))
}

pub fn key(message: &[u8]) -> Key {
    (message[8..24].try_into().unwrap(), u32::from_be_bytes([0, message[47], message[48], message[49]]))
}

/// The plain document of a message.
pub fn plain(message: &[u8]) -> &[u8] {
    &message[62..message.len() - 10]
}

pub fn with_crc(mut message: Vec<u8>) -> Vec<u8> {
    let crc = crc(&message[30..]);
    message[32..34].copy_from_slice(&crc.to_le_bytes());
    message
}

/// The same document in another envelope: other service data, another message sign.
pub fn resealed(message: &[u8], with: u8) -> Vec<u8> {
    let mut other = message.to_vec();
    other[50] ^= with;
    let at = other.len() - 5;
    other[at] ^= with;
    with_crc(other)
}

/// Another document under the same number: the last byte of the printed sign (1077) differs.
pub fn altered(message: &[u8], with: u8) -> Vec<u8> {
    let mut other = message.to_vec();
    let at = other.windows(4).position(|it| it == [0x35, 0x04, 0x06, 0x00]).unwrap();
    other[at + 9] ^= with.max(1);
    with_crc(other)
}

/// A well-framed message whose body is not a document.
pub fn misfit(message: &[u8]) -> Vec<u8> {
    let mut other = message.to_vec();
    other[64] ^= 1;
    with_crc(other)
}

/// The document with items more, up to a container of `len` bytes at most.
pub fn enlarged(message: &[u8], len: usize) -> Vec<u8> {
    let end = message.len() - 10;
    let mut other = message[..end].to_vec();
    // A line item (1059) with its name (1030), again and again.
    let item = [[0x23, 0x04, 132, 0, 0x06, 0x04, 128, 0].as_slice(), &[b'x'; 128]].concat();
    while other.len() + item.len() + 10 <= 30 + len {
        other.extend_from_slice(&item);
    }
    let body = u16::try_from(other.len() - 62 - 4).unwrap();
    other[64..66].copy_from_slice(&body.to_le_bytes());
    other[60..62].copy_from_slice(&(body + 4).to_be_bytes());
    other.extend_from_slice(&message[end..]);
    let container = u16::try_from(other.len() - 30).unwrap();
    other[24..26].copy_from_slice(&container.to_le_bytes());
    other[30..32].copy_from_slice(&container.to_le_bytes());
    with_crc(other)
}
