//! What went wrong in the world, and what the caller should do about it.
//!
//! An [`Error`] never says "something failed" alone: its [`ErrorKind`] names the next step. EIO, ENOSPC,
//! EROFS, EDQUOT, ESTALE and EFBIG are one class, the storage fault: after a failed write ext4 may turn
//! read-only, so the same sick disk answers EIO first and EROFS afterwards. The class is [`ErrorKind::Reopen`].

use std::borrow::Cow;
use std::fmt;
use std::io;

/// What the caller should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Nothing is wrong for good: try again later.
    Retry,
    /// The storage failed under us. Nothing more is acknowledged; mend the disk and open the directory again.
    Reopen,
    /// The caller or the operator has to change something: a path, an option, a permission.
    Fix,
    /// Stored bytes are damaged or missing. The context names file, reach and LSN.
    Corrupt,
    /// Another process owns the directory.
    Busy,
}

/// An error of the storage: what was tried, and the system's own word where there is one.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    context: Cow<'static, str>,
    source: Option<io::Error>,
}

impl Error {
    /// An error of ours, without a system error below it.
    pub fn new(kind: ErrorKind, context: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, context: context.into(), source: None }
    }

    /// A system error; the kind follows from its class.
    pub fn io(context: impl Into<Cow<'static, str>>, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                ErrorKind::Retry
            }
            io::ErrorKind::ResourceBusy => ErrorKind::Busy,
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => ErrorKind::Corrupt,
            _ if is_storage_fault(&source) => ErrorKind::Reopen,
            _ => ErrorKind::Fix,
        };
        Self { kind, context: context.into(), source: Some(source) }
    }

    /// What to do.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What was tried, with the path, offset or LSN.
    pub fn context(&self) -> &str {
        &self.context
    }

    /// Whether a file or a directory was not there.
    pub fn is_not_found(&self) -> bool {
        self.source.as_ref().is_some_and(|source| source.kind() == io::ErrorKind::NotFound)
    }

    /// Whether the file system cannot do what was asked of it.
    pub fn is_unsupported(&self) -> bool {
        use rustix::io::Errno;
        let Some(source) = &self.source else { return false };
        let codes = [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP, Errno::XDEV, Errno::PERM, Errno::MLINK];
        source.kind() == io::ErrorKind::Unsupported
            || source.raw_os_error().is_some_and(|code| codes.iter().any(|it| it.raw_os_error() == code))
    }

    /// Whether the storage itself failed (EIO, ENOSPC, EROFS, EDQUOT, ESTALE, EFBIG).
    pub fn is_storage_fault(&self) -> bool {
        self.kind == ErrorKind::Reopen
    }
}

/// One class on purpose, see the module header. A write that takes no byte is of it, too.
fn is_storage_fault(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let class = [Errno::IO, Errno::NOSPC, Errno::ROFS, Errno::DQUOT, Errno::STALE, Errno::FBIG];
    error.kind() == io::ErrorKind::WriteZero
        || error.raw_os_error().is_some_and(|code| class.iter().any(|errno| errno.raw_os_error() == code))
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn every_face_of_a_sick_disk_is_one_class() {
        for errno in [Errno::IO, Errno::NOSPC, Errno::ROFS, Errno::DQUOT, Errno::STALE, Errno::FBIG] {
            let error = Error::io("write", io::Error::from(errno));
            assert!(error.is_storage_fault(), "{errno}");
        }
        assert!(!Error::io("open", io::Error::from(Errno::ACCESS)).is_storage_fault());
    }
}
