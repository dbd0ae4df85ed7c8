//! `archive-store.json`: where the archive of a data directory lies when it is not in it, and what of it is unfinished.
//!
//! The data directory says where its archive is, so that every program that opens it finds it there. Keys are not in this
//! file: they come from the environment, or from a file that it names.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Store, Stored, publish};
use crate::env::{Env, read_file, replace_file};
use crate::error::{Error, ErrorKind};
use crate::manifest::Manifest;
use crate::position::Lsn;

/// Name of the file in the data directory.
pub const PLACE_FILE: &str = "archive-store.json";
const PLACE_VERSION: u32 = 1;
const PLACE_LEN_MAX: u64 = 16 << 20;

/// Where an archive lies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// `s3://bucket/prefix`.
    pub url: String,
    /// Where the service is, as `https://storage.example.net`, or `http://…` within one's own network; `None`: as the environment
    /// says, else that of Amazon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Its region; `None`: as the environment says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// A file of two lines, access key and secret key; `None`: as the environment says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys_file: Option<String>,
}

/// What opens a store.
#[cfg(feature = "object-store")]
pub(crate) struct Keys {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
}

impl Place {
    /// The bucket, and the prefix in it without slashes at its ends.
    ///
    /// # Errors
    /// `Fix` when the URL is no such thing.
    pub fn bucket_and_prefix(&self) -> Result<(&str, &str), Error> {
        let told = self.url.strip_prefix("s3://").and_then(|rest| {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let prefix = prefix.trim_matches('/');
            let good =
                !bucket.is_empty() && !bucket.contains(['?', '#', '@', ':']) && !prefix.contains(['?', '#']);
            good.then_some((bucket, prefix))
        });
        told.ok_or_else(|| {
            Error::new(
                ErrorKind::Fix,
                format!("{:?}: the place of an archive is s3://bucket/prefix", self.url),
            )
        })
    }

    #[cfg(feature = "object-store")]
    pub(crate) fn keys(&self) -> Result<Option<Keys>, Error> {
        let Some(path) = &self.keys_file else { return Ok(None) };
        let file = Path::new(path);
        let dir = file.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = file.file_name().unwrap_or_default();
        let env = crate::env::RealEnv::new(dir);
        let bytes = read_file(&env, Path::new(name), 64 << 10)?;
        let wrong = || Error::new(ErrorKind::Fix, format!("{path}: two lines, access key and secret key"));
        let text = String::from_utf8(bytes).map_err(|_| wrong())?;
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        match (lines.next(), lines.next(), lines.next()) {
            (Some(id), Some(secret), None) => {
                Ok(Some(Keys { access_key_id: id.to_owned(), secret_access_key: secret.to_owned() }))
            }
            _ => Err(wrong()),
        }
    }
}

/// The file: the place, and what its owner remembers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Memory {
    pub(crate) version: u32,
    /// Where; without a URL in tests, whose stores have none.
    pub(crate) place: Place,
    /// Who writes the archive: made by chance once, and stands in its manifest.
    pub(crate) writer: String,
    /// The checksums of manifests of which nobody knows whether they have been put, or will be. All of them were to replace the
    /// same one, so that no more than one of them can.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) pending: Vec<String>,
    /// Objects that may be there and that no manifest names yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) uploading: Vec<String>,
}

impl Memory {
    /// `None`: the archive lies in the directory.
    pub(crate) fn load(env: &dyn Env) -> Result<Option<Self>, Error> {
        let bytes = match read_file(env, Path::new(PLACE_FILE), PLACE_LEN_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let memory: Self = serde_json::from_slice(&bytes)
            .map_err(|error| Error::new(ErrorKind::Corrupt, format!("{PLACE_FILE}: {error}")))?;
        if memory.version != PLACE_VERSION {
            let text =
                format!("{PLACE_FILE}: version {}, this program knows {PLACE_VERSION}", memory.version);
            return Err(Error::new(ErrorKind::Fix, text));
        }
        Ok(Some(memory))
    }

    pub(crate) fn save(&self, env: &dyn Env) -> Result<(), Error> {
        let mut bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::new(ErrorKind::Fix, format!("{PLACE_FILE}: {error}")))?;
        bytes.push(b'\n');
        replace_file(env, Path::new(PLACE_FILE), &bytes)
    }

    pub(crate) fn new(env: &dyn Env, place: Place) -> Self {
        let writer = format!("{:016x}{:016x}", env.random(), env.random());
        Self { version: PLACE_VERSION, place, writer, pending: Vec::new(), uploading: Vec::new() }
    }
}

/// Where the archive of this directory lies; `None`: in it.
///
/// # Errors
/// `Corrupt` when the file that says so cannot be read; of the system.
pub fn place(env: &dyn Env) -> Result<Option<Place>, Error> {
    Ok(Memory::load(env)?.map(|memory| memory.place))
}

/// Notes where the archive of this directory lies from now on. Another endpoint, region or file of keys may be told later;
/// another URL only as long as nothing has been compacted. Run by the owner of the directory only.
///
/// # Errors
/// `Fix` when the archive has begun elsewhere, in the directory or in another store; of the system.
pub fn set_place(env: &dyn Env, place: &Place) -> Result<(), Error> {
    place.bucket_and_prefix()?;
    let known = Memory::load(env)?;
    if known.as_ref().is_some_and(|it| it.place == *place) {
        return Ok(());
    }
    let begun = Manifest::load_here(env)?.is_some_and(|it| it.compacted_through > 0);
    let memory = match known {
        Some(known) if known.place.url == place.url => Memory { place: place.clone(), ..known },
        Some(known) if begun || !known.pending.is_empty() || !known.uploading.is_empty() => {
            let text =
                format!("the archive of this directory lies in {}, not in {}", known.place.url, place.url);
            return Err(Error::new(ErrorKind::Fix, text));
        }
        None if begun => {
            let text = format!(
                "the archive of this directory has begun in DIR/parquet: {} can only be the place of a new one",
                place.url
            );
            return Err(Error::new(ErrorKind::Fix, text));
        }
        _ => Memory::new(env, place.clone()),
    };
    memory.save(env)
}

/// Takes over the archive of a directory that is gone for good: from here on this directory writes it, and the other one is
/// refused should it come back. `durable` is where the log of this directory ends. Files that no manifest names are removed.
/// Run by the owner of the directory only; see with `ofd verify` that the two belong together.
///
/// # Errors
/// `Fix` when the directory names no store, or there is no archive in it; `Corrupt` when the log ends before the archive does; as
/// [`Store`] says.
pub fn adopt(env: &Arc<dyn Env>, durable: Lsn) -> Result<(), Error> {
    let Some(store) = env.store() else {
        return Err(Error::new(ErrorKind::Fix, "the archive of this directory lies in no object store"));
    };
    publish::adopt(&**env, store, durable)
}

/// The machine with the store at this place, which its directory names from now on. Run by the owner of the directory only.
///
/// # Errors
/// As [`set_place`]; of the place, before it is noted.
pub fn placed(env: Arc<dyn Env>, place: &Place) -> Result<Arc<dyn Env>, Error> {
    let store = connect(place)?;
    set_place(&*env, place)?;
    Ok(Arc::new(Stored::new(env, store)))
}

/// The machine with the store that its directory names, if it names one.
///
/// # Errors
/// `Fix` when the store cannot be used as it is told, or this build has no object store; as [`place`].
pub fn with_store(env: Arc<dyn Env>) -> Result<Arc<dyn Env>, Error> {
    match place(&*env)? {
        None => Ok(env),
        Some(place) => Ok(Arc::new(Stored::new(env, connect(&place)?))),
    }
}

#[cfg(feature = "object-store")]
fn connect(place: &Place) -> Result<Arc<dyn Store>, Error> {
    Ok(Arc::new(super::RemoteStore::connect(place)?))
}

#[cfg(not(feature = "object-store"))]
fn connect(place: &Place) -> Result<Arc<dyn Store>, Error> {
    let text = format!("the archive lies in {}, and this program is built without object-store", place.url);
    Err(Error::new(ErrorKind::Fix, text))
}
