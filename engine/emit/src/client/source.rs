//! Where the messages of one register come from: made on the spot, or from memory.

use ofd_codec::DriveNumber;

use crate::life::Register;

/// The messages of one register, in order.
pub(super) struct Source {
    drive: DriveNumber,
    kind: Kind,
}

enum Kind {
    Live(Box<Register>),
    Recorded {
        bytes: Vec<u8>,
        /// Length and document number of each message.
        marks: std::vec::IntoIter<(usize, u32)>,
        at: usize,
    },
}

impl Source {
    pub(super) fn live(register: Register) -> Self {
        Self { drive: register.drive(), kind: Kind::Live(Box::new(register)) }
    }

    /// Runs the whole life now.
    pub(super) fn record(mut register: Register) -> Self {
        let (mut bytes, mut marks) = (Vec::new(), Vec::new());
        loop {
            let before = bytes.len();
            match register.next_message(&mut bytes) {
                Some(emitted) => marks.push((bytes.len() - before, emitted.number)),
                None => break,
            }
        }
        Self { drive: register.drive(), kind: Kind::Recorded { bytes, marks: marks.into_iter(), at: 0 } }
    }

    pub(super) fn drive(&self) -> DriveNumber {
        self.drive
    }

    /// Replaces `message` by the next one and gives its document number; `None` when the life has ended.
    pub(super) fn next(&mut self, message: &mut Vec<u8>) -> Option<u32> {
        message.clear();
        match &mut self.kind {
            Kind::Live(register) => register.next_message(message).map(|emitted| emitted.number),
            Kind::Recorded { bytes, marks, at } => {
                let (len, number) = marks.next()?;
                message.extend_from_slice(bytes.get(*at..*at + len)?);
                *at += len;
                Some(number)
            }
        }
    }
}
