//! A document of an import as it travels over `control.sock`.

use bytes::Bytes;
use ofd_codec::{parse_hex, to_hex};
use ofd_storage::envelope::CryptoVerdict;
use serde_json::{Value, json};

use crate::import::{Imported, OriginalAnswer};

/// As JSON: bytes in hex, what is not there left out.
pub(super) fn import_json(it: &Imported) -> Value {
    let mut value = json!({
        "message": to_hex(&it.message),
        "crypto": it.crypto as u8,
        "time": it.answer.operator_time,
        "at": it.answer.answered_at_us,
    });
    if let Some(fields) = value.as_object_mut() {
        if it.bare {
            fields.insert("bare".into(), true.into());
        }
        if let Some(plain) = &it.plain {
            fields.insert("plain".into(), to_hex(plain).into());
        }
        if let Some(code) = it.answer.code {
            fields.insert("code".into(), code.into());
        }
    }
    value
}

/// Reads one back.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub(super) fn import_of(value: &Value) -> Result<Imported, String> {
    let bytes = |key: &str| match value.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(text) => text
            .as_str()
            .and_then(|it| parse_hex(it).ok())
            .map(|it| Some(Bytes::from(it)))
            .ok_or_else(|| format!("{key} has to be bytes in hex")),
    };
    let number = |key: &str| match value.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(number) => number.as_i64().map(Some).ok_or_else(|| format!("{key} has to be a number")),
    };
    let byte = |key: &str| match number(key)? {
        None => Ok(None),
        Some(number) => u8::try_from(number).map(Some).map_err(|_| format!("{key} has to be 0..=255")),
    };
    let crypto = match byte("crypto")? {
        None | Some(0) => CryptoVerdict::Unverified,
        Some(1) => CryptoVerdict::Verified,
        Some(2) => CryptoVerdict::Forged,
        Some(_) => return Err("crypto has to be 0, 1 or 2".to_owned()),
    };
    let time = u32::try_from(number("time")?.unwrap_or_default());
    Ok(Imported {
        message: bytes("message")?.unwrap_or_default(),
        bare: value.get("bare").and_then(Value::as_bool).unwrap_or_default(),
        plain: bytes("plain")?,
        crypto,
        answer: OriginalAnswer {
            code: byte("code")?,
            operator_time: time.map_err(|_| "time has to be a number of 32 bits".to_owned())?,
            answered_at_us: number("at")?.unwrap_or_default(),
        },
    })
}
