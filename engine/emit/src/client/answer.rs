//! The check of an answer, as strict as a drive is: everything must be about the document that was sent.

use ofd_codec::{Channel, DecodeError, DriveNumber, Form, Frame, LocalSeconds, open_answer, tags};

/// An answer whose checksum, headers and document agree with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Drive that it speaks to.
    pub drive: DriveNumber,
    /// Number of the document that it confirms.
    pub number: u32,
    /// Answer code (1022): 0 accepted, 11 not recognised, 14 refused by format control.
    pub code: u8,
    /// Time of acceptance in the operator's zone (1012).
    pub accepted_at: LocalSeconds,
}

/// Why an answer is worth nothing to the drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// The bytes are no message, or its parts disagree.
    #[error("damaged answer: {0}")]
    Damaged(#[from] DecodeError),
    /// It came on another channel or is another form than 7.
    #[error("not a confirmation: form {0}")]
    Form(u8),
    /// Tag 1068 with 1022, tag 1012, or the number is missing.
    #[error("an answer without {0}")]
    Missing(&'static str),
}

/// Checks one whole answer (session header and container).
///
/// # Errors
/// Whatever would make a drive throw it away; whether it is about the right document is for the caller to compare.
pub fn check_answer(message: &[u8]) -> Result<Answer, AnswerError> {
    let frame = Frame::new_checked(message)?;
    let container = frame.container();
    let view = open_answer(&container, Some(&frame.header().drive), container.body())?;
    if view.form() != Form::CONFIRMATION || frame.header().channel() != Channel::Operator {
        return Err(AnswerError::Form(view.form().0));
    }
    let header = view.header();
    let code = view
        .get(tags::MESSAGE_TO_DRIVE)
        .ok_or(AnswerError::Missing("1068"))?
        .children()
        .filter_map(Result::ok)
        .find(|(tag, _)| *tag == tags::RESPONSE_CODE)
        .ok_or(AnswerError::Missing("1022"))?
        .1
        .u8()?;
    Ok(Answer {
        drive: header.drive.ok_or(AnswerError::Missing("1041"))?,
        number: header.number.ok_or(AnswerError::Missing("1040"))?.0,
        code,
        accepted_at: header.date_time.ok_or(AnswerError::Missing("1012"))?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use ofd_codec::ConfirmationRequest;

    use super::*;

    fn confirmation(code: u8) -> Vec<u8> {
        let drive = DriveNumber::parse("7380440000000001").unwrap();
        let mut out = Vec::new();
        ConfirmationRequest::unsigned(
            *b"7700000190  ",
            drive,
            77,
            LocalSeconds(1_772_409_601),
            code,
            [1, 0x20],
        )
        .encode_into(&mut out)
        .unwrap();
        out
    }

    /// The load test must not count what a drive would refuse.
    #[test]
    fn a_confirmation_is_read_and_any_flipped_bit_is_noticed() {
        let good = confirmation(14);
        let answer = check_answer(&good).unwrap();
        assert_eq!((answer.number, answer.code, answer.accepted_at.0), (77, 14, 1_772_409_601));
        // The P-version and the flags of the session header are not covered by any checksum, and drives ignore them.
        let ignored = [6, 7, 26, 27, 28, 29];
        for at in (0..good.len()).filter(|at| !ignored.contains(at)) {
            for bit in 0..8 {
                let mut bad = good.clone();
                *bad.get_mut(at).unwrap() ^= 1 << bit;
                assert!(check_answer(&bad).is_err(), "bit {bit} of byte {at}");
            }
        }
    }
}
