//! The Russian words of the explanation, and how text is broken into lines.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::dictionary::Kind;
use crate::{DecodeErrorKind, Form, Level};

/// What the form is called by people.
pub(super) const fn form_name(form: Form) -> &'static str {
    match form {
        Form::REGISTRATION => "Отчет о регистрации",
        Form::REREGISTRATION => "Отчет об изменении параметров регистрации",
        Form::OPEN_SHIFT => "Отчет об открытии смены",
        Form::RECEIPT => "Кассовый чек",
        Form::BSO => "Бланк строгой отчетности",
        Form::CLOSE_SHIFT => "Отчет о закрытии смены",
        Form::CLOSE_ARCHIVE => "Отчет о закрытии фискального накопителя",
        Form::CONFIRMATION => "Подтверждение оператора",
        Form::CURRENT_STATE => "Отчет о текущем состоянии расчетов",
        Form::RECEIPT_CORRECTION => "Кассовый чек коррекции",
        Form::BSO_CORRECTION => "БСО коррекции",
        Form::MARKING_REQUEST => "Запрос о коде маркировки",
        Form::MARKING_NOTIFICATION => "Уведомление о реализации маркированного товара",
        Form::MARKING_ANSWER => "Ответ на запрос о коде маркировки",
        Form::MARKING_RECEIPT => "Квитанция на уведомление",
        _ => "Документ неизвестной формы",
    }
}

pub(super) const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Byte => "byte",
        Kind::U16 => "u16",
        Kind::U32 => "u32",
        Kind::Vln => "vln",
        Kind::Fvln => "fvln",
        Kind::UnixTime => "time",
        Kind::Text => "text",
        Kind::Bits => "bits",
        Kind::Stlv => "stlv",
        Kind::Bytes => "bytes",
    }
}

pub(super) const fn level_name(level: Level) -> &'static str {
    match level {
        Level::Info => "сведение",
        Level::Warning => "предупреждение",
        Level::Error => "ошибка",
    }
}

/// `✗` and its quieter sisters.
pub(super) const fn level_mark(level: Level) -> &'static str {
    match level {
        Level::Info => "·",
        Level::Warning => "!",
        Level::Error => "✗",
    }
}

/// What is wrong with bytes that are no document, in a Russian sentence without a full stop.
///
/// ```
/// use ofd_codec::{DecodeErrorKind, explain::damage_words};
/// assert_eq!(damage_words(DecodeErrorKind::Crc), "контрольная сумма контейнера не сходится");
/// ```
#[must_use]
pub const fn damage_words(kind: DecodeErrorKind) -> &'static str {
    match kind {
        DecodeErrorKind::Truncated => "данные кончились раньше, чем структура",
        DecodeErrorKind::Signature => "неизвестная сигнатура сеансового заголовка",
        DecodeErrorKind::SVersion => "неизвестная версия сеансового протокола",
        DecodeErrorKind::DriveNumber => "номер ФН состоит не из цифр",
        DecodeErrorKind::BodyLength => "недопустимая длина тела сообщения",
        DecodeErrorKind::ContainerLength => "длина контейнера не равна длине тела сообщения",
        DecodeErrorKind::Crc => "контрольная сумма контейнера не сходится",
        DecodeErrorKind::SessionCrc => "контрольная сумма сеансового заголовка не сходится",
        DecodeErrorKind::ContainerType => "контейнер направлен в другую сторону",
        DecodeErrorKind::ContainerVersion => "неизвестная версия формата контейнера",
        DecodeErrorKind::FormMismatch => "форма в заголовке не та, что в документе",
        DecodeErrorKind::Version => "неизвестная версия ФФД",
        DecodeErrorKind::DriveMismatch => "номера ФН в заголовках и документе различаются",
        DecodeErrorKind::NumberMismatch => "номера ФД в заголовке и документе различаются",
        DecodeErrorKind::ServiceLength => "длина документа в заголовке не та",
        DecodeErrorKind::TlvLength => "реквизит длиннее структуры, в которой он лежит",
        DecodeErrorKind::TlvTrailing => "за документом остались лишние байты",
        DecodeErrorKind::Form => "нет формы документа с таким кодом",
        DecodeErrorKind::Depth => "структуры вложены слишком глубоко",
        DecodeErrorKind::TooManyTags => "слишком много реквизитов",
        DecodeErrorKind::Length => "недопустимая длина значения",
        DecodeErrorKind::Value => "недопустимое значение",
        DecodeErrorKind::Hex => "это не шестнадцатеричные цифры",
        DecodeErrorKind::RawHeader => "неизвестный заголовок rawData",
        DecodeErrorKind::Sealed => "документ зашифрован или поврежден",
        DecodeErrorKind::Unrecognised => "это не сообщение, не контейнер, не rawData и не документ",
    }
}

/// Text without what would move the cursor: control characters become pictures of themselves.
pub(super) fn shown(text: &str) -> String {
    text.chars()
        .map(|it| match u32::from(it) {
            code @ 0..0x20 => char::from_u32(code.saturating_add(0x2400)).unwrap_or('\u{FFFD}'),
            0x7F => '\u{2421}',
            _ => it,
        })
        .collect()
}

/// Russian needs three forms: 1 реквизит, 2 реквизита, 5 реквизитов.
pub(super) fn counted(count: usize, [one, few, many]: [&str; 3]) -> String {
    let word = match (count % 100, count % 10) {
        (11..=14, _) => many,
        (_, 1) => one,
        (_, 2..=4) => few,
        _ => many,
    };
    format!("{count} {word}")
}

/// The text up to its first full stop, without it.
pub(super) fn first_sentence(text: &str) -> &str {
    text.split_once(". ").map_or(text, |(first, _)| first).trim_end_matches('.')
}

/// Lines of at most `width` characters, broken between words.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in shown(text).split(' ') {
        let len = line.chars().count().saturating_add(word.chars().count()).saturating_add(1);
        if len > width && !line.is_empty() {
            lines.push(core::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}
