//! An object store of the `object_store` crate behind the calls of [`Store`].
//!
//! The crate is asynchronous. Its work runs on a runtime of its own with one thread, which is this file's alone; whoever calls
//! waits for the answer on a channel, so that calls may come from any thread, that of another runtime as well.
//!
//! Retries with growing pauses are the crate's own, bounded by [`RETRY_TIMEOUT`]; what still fails then is `Retry` for whoever
//! asked. A search reads a few ranges of a file: small ones are read with what follows them ([`WINDOW_LEN`]), the last bytes
//! come with the opening.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::future::Future;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path as Key;
use object_store::{
    BackoffConfig, ClientOptions, GetOptions, GetRange, GetResult, ObjectStore, ObjectStoreExt, PutMode,
    PutOptions, PutPayload, RetryConfig, UpdateVersion,
};
use tokio::runtime::Runtime;

use super::place::Place;
use super::{Store, Version};
use crate::env::{File, read_exact_at};
use crate::error::{Error, ErrorKind};

/// How long one request may take, its body included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A request that failed is not tried again later than this after its beginning.
const RETRY_TIMEOUT: Duration = Duration::from_secs(20);
const RETRIES_MAX: usize = 6;
/// A longer file goes in parts of this length, one after another: the memory that a put takes.
pub(crate) const PART_LEN: u64 = 8 << 20;
/// Bytes read at once where fewer are asked for.
const WINDOW_LEN: u64 = 128 << 10;
/// Windows that an open object remembers.
const WINDOWS_MAX: usize = 4;
/// Text of an error that is kept: a store may answer with a whole page.
const TEXT_LEN_MAX: usize = 400;

/// An object store.
pub struct RemoteStore(Arc<Inner>);

struct Inner {
    objects: Arc<dyn ObjectStore>,
    name: String,
    prefix: Key,
    /// `None` when it is being dropped.
    runtime: Option<Runtime>,
}

impl RemoteStore {
    /// Objects below `prefix` of a store of the crate, called `name`.
    ///
    /// # Errors
    /// `Retry` when the thread cannot be started; `Fix` when the prefix cannot be one.
    pub fn new(objects: Arc<dyn ObjectStore>, name: impl Into<String>, prefix: &str) -> Result<Self, Error> {
        let prefix =
            Key::parse(prefix).map_err(|error| Error::new(ErrorKind::Fix, format!("{prefix}: {error}")))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("ofd-store")
            .enable_all()
            .build()
            .map_err(|error| {
                Error::new(ErrorKind::Retry, format!("a thread for the object store: {error}"))
            })?;
        Ok(Self(Arc::new(Inner { objects, name: name.into(), prefix, runtime: Some(runtime) })))
    }

    /// The store of this place: `s3://bucket/prefix`. Endpoint, region and keys are those of the place, else those of the
    /// environment as every program for S3 reads them (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_ENDPOINT_URL`,
    /// `AWS_REGION`, `AWS_ALLOW_HTTP`, …).
    ///
    /// # Errors
    /// `Fix` when the URL is of another kind or something is missing; of the file with the keys.
    pub fn connect(place: &Place) -> Result<Self, Error> {
        let fix = |text: String| Error::new(ErrorKind::Fix, text);
        let (bucket, prefix) = place.bucket_and_prefix()?;
        let client = ClientOptions::new().with_timeout(REQUEST_TIMEOUT).with_connect_timeout(CONNECT_TIMEOUT);
        let retry = RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: RETRIES_MAX,
            retry_timeout: RETRY_TIMEOUT,
        };
        let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retry);
        let allowed =
            builder.get_config_value(&AmazonS3ConfigKey::Client(object_store::ClientConfigKey::AllowHttp));
        let plain = place.endpoint.as_ref().is_some_and(|it| it.starts_with("http://"));
        let allowed = plain || allowed.as_deref() == Some("true");
        builder = builder.with_client_options(client).with_allow_http(allowed);
        if let Some(endpoint) = &place.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(region) = &place.region {
            builder = builder.with_region(region);
        }
        if let Some(keys) = place.keys()? {
            builder =
                builder.with_access_key_id(keys.access_key_id).with_secret_access_key(keys.secret_access_key);
        }
        let objects = builder.build().map_err(|error| fix(format!("{}: {error}", place.url)))?;
        Self::new(Arc::new(objects), place.url.trim_end_matches('/'), prefix)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Waits for nobody: it may be dropped by a thread of another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Inner {
    fn key(&self, path: &Path) -> Key {
        path.iter()
            .map(|part| part.to_string_lossy().into_owned())
            .fold(self.prefix.clone(), |key, part| key.join(part))
    }

    /// Waits for the work, done on the thread of the store.
    fn wait<T: Send + 'static>(
        &self,
        path: &Path,
        work: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> Result<T, Error> {
        let (tell, told) = mpsc::sync_channel(1);
        if let Some(runtime) = &self.runtime {
            runtime.spawn(async move {
                // Nobody waits any more when the caller has died.
                let _ = tell.send(work.await);
            });
        }
        match told.recv() {
            Ok(done) => done.map_err(|error| self.fault(path, &error)),
            Err(_) => {
                Err(Error::new(ErrorKind::Retry, format!("{}: its thread has ended", self.called(path))))
            }
        }
    }

    fn called(&self, path: &Path) -> String {
        format!("{}/{}", self.name, path.display())
    }

    /// What an error of the crate asks for.
    fn fault(&self, path: &Path, error: &object_store::Error) -> Error {
        use object_store::Error as E;
        let mut text = String::new();
        // It cannot fail: it is a string.
        let _ = write!(text, "{}: {error}", self.called(path));
        let mut cut = TEXT_LEN_MAX.min(text.len());
        while !text.is_char_boundary(cut) {
            cut = cut.saturating_sub(1);
        }
        text.truncate(cut);
        match error {
            E::NotFound { .. } => Error::io(text, io::ErrorKind::NotFound.into()),
            E::AlreadyExists { .. } | E::Precondition { .. } => {
                Error::new(ErrorKind::Fix, format!("{text}: somebody else has put it there meanwhile"))
            }
            E::InvalidPath { .. }
            | E::NotSupported { .. }
            | E::NotImplemented { .. }
            | E::PermissionDenied { .. }
            | E::Unauthenticated { .. }
            | E::UnknownConfigurationKey { .. } => Error::new(ErrorKind::Fix, text),
            _ => Error::new(ErrorKind::Retry, text),
        }
    }

    async fn get(
        objects: Arc<dyn ObjectStore>,
        key: Key,
        range: Option<GetRange>,
    ) -> object_store::Result<(GetMeta, Bytes)> {
        let options = GetOptions { range, ..GetOptions::default() };
        let result: GetResult = objects.get_opts(&key, options).await?;
        let meta = GetMeta {
            len: result.meta.size,
            at: result.range.start,
            version: Version { e_tag: result.meta.e_tag.clone(), version: result.meta.version.clone() },
        };
        Ok((meta, result.bytes().await?))
    }
}

/// What comes with bytes of an object.
struct GetMeta {
    /// Of the object.
    len: u64,
    /// Where the bytes begin in it.
    at: u64,
    version: Version,
}

impl Store for RemoteStore {
    fn name(&self) -> &str {
        &self.0.name
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn File>, Error> {
        let (objects, key) = (Arc::clone(&self.0.objects), self.0.key(path));
        let tail = Some(GetRange::Suffix(WINDOW_LEN));
        let (meta, bytes) = self.0.wait(path, Inner::get(objects, key, tail))?;
        let windows = Mutex::new(VecDeque::from([(meta.at, bytes)]));
        Ok(Arc::new(Object { store: Arc::clone(&self.0), path: path.to_owned(), len: meta.len, windows }))
    }

    fn put(&self, path: &Path, file: &dyn File) -> Result<(), Error> {
        let (len, key) = (file.len()?, self.0.key(path));
        let part = |at: u64| {
            let length = usize::try_from(PART_LEN.min(len.saturating_sub(at))).unwrap_or(usize::MAX);
            let mut buffer = vec![0; length];
            read_exact_at(file, &mut buffer, at).map(|()| PutPayload::from(buffer))
        };
        let objects = Arc::clone(&self.0.objects);
        if len <= PART_LEN {
            let payload = part(0)?;
            return self.0.wait(path, async move { objects.put(&key, payload).await }).map(drop);
        }
        let mut upload = self.0.wait(path, async move { objects.put_multipart(&key).await })?;
        let mut at = 0_u64;
        while at < len {
            let sent = part(at).and_then(|payload| {
                let sending = upload.put_part(payload);
                self.0.wait(path, sending)
            });
            if let Err(error) = sent {
                // What cannot be taken back now is for the store's own rule on unfinished uploads.
                let _ = self.0.wait(path, async move { upload.abort().await });
                return Err(error);
            }
            at = at.saturating_add(PART_LEN);
        }
        self.0.wait(path, async move { upload.complete().await }).map(drop)
    }

    fn get(&self, path: &Path, len_max: u64) -> Result<Option<(Bytes, Version)>, Error> {
        let (objects, key) = (Arc::clone(&self.0.objects), self.0.key(path));
        match self.0.wait(path, Inner::get(objects, key, None)) {
            Ok((meta, _)) if meta.len > len_max => Err(Error::new(
                ErrorKind::Corrupt,
                format!("{}: {} bytes, at most {len_max}", self.0.called(path), meta.len),
            )),
            Ok((meta, bytes)) => Ok(Some((bytes, meta.version))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn put_if(&self, path: &Path, bytes: Bytes, there: Option<&Version>) -> Result<Version, Error> {
        let (objects, key) = (Arc::clone(&self.0.objects), self.0.key(path));
        let mode = match there {
            None => PutMode::Create,
            Some(Version { e_tag, version }) => {
                PutMode::Update(UpdateVersion { e_tag: e_tag.clone(), version: version.clone() })
            }
        };
        let options = PutOptions::from(mode);
        let put = async move { objects.put_opts(&key, PutPayload::from(bytes), options).await };
        let put = self.0.wait(path, put)?;
        Ok(Version { e_tag: put.e_tag, version: put.version })
    }

    fn list(&self, folder: &Path, most: usize) -> Result<Vec<PathBuf>, Error> {
        use futures::StreamExt as _;
        let (objects, key) = (Arc::clone(&self.0.objects), self.0.key(folder));
        let listed = self.0.wait(folder, async move {
            let mut found = objects.list(Some(&key));
            let mut names = Vec::new();
            while let Some(object) = found.next().await {
                names.push(object?.location);
                if names.len() >= most {
                    break;
                }
            }
            Ok(names)
        })?;
        let below = |key: &Key| {
            let parts = key.prefix_match(&self.0.prefix)?;
            Some(parts.map(|part| part.as_ref().to_owned()).collect::<PathBuf>())
        };
        Ok(listed.iter().filter_map(below).collect())
    }

    fn remove(&self, path: &Path) -> Result<(), Error> {
        let (objects, key) = (Arc::clone(&self.0.objects), self.0.key(path));
        match self.0.wait(path, async move { objects.delete(&key).await }) {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }
}

/// An object that is read by ranges.
struct Object {
    store: Arc<Inner>,
    path: PathBuf,
    len: u64,
    /// What was read last, where it begins.
    windows: Mutex<VecDeque<(u64, Bytes)>>,
}

impl Object {
    /// As much of the range as one window holds.
    fn remembered(&self, buffer: &mut [u8], offset: u64) -> Option<usize> {
        let windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.iter().find_map(|(at, bytes)| {
            let from = usize::try_from(offset.checked_sub(*at)?).ok()?;
            let there = bytes.get(from..).filter(|it| !it.is_empty())?;
            let taken = there.len().min(buffer.len());
            buffer.get_mut(..taken)?.copy_from_slice(there.get(..taken)?);
            Some(taken)
        })
    }

    fn fetch(&self, range: Range<u64>) -> Result<Bytes, Error> {
        let (objects, key) = (Arc::clone(&self.store.objects), self.store.key(&self.path));
        let length = range.end.saturating_sub(range.start);
        let bounded = Some(GetRange::Bounded(range));
        let (_, bytes) = self.store.wait(&self.path, Inner::get(objects, key, bounded))?;
        if bytes.len() as u64 != length {
            let text = format!("{}: {} bytes of {length}", self.store.called(&self.path), bytes.len());
            return Err(Error::new(ErrorKind::Retry, text));
        }
        Ok(bytes)
    }

    fn read_only<T>(&self) -> Result<T, Error> {
        Err(Error::new(ErrorKind::Fix, format!("{} is only read", self.store.called(&self.path))))
    }
}

impl File for Object {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Error> {
        let wanted = (buffer.len() as u64).min(self.len.saturating_sub(offset));
        if wanted == 0 {
            return Ok(0);
        }
        if let Some(taken) = self.remembered(buffer, offset) {
            return Ok(taken);
        }
        let read = wanted.max(WINDOW_LEN.min(self.len.saturating_sub(offset)));
        let bytes = self.fetch(offset..offset.saturating_add(read))?;
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        for (place, byte) in buffer.iter_mut().zip(bytes.get(..wanted).unwrap_or_default()) {
            *place = *byte;
        }
        // Long ranges are read once.
        if read <= WINDOW_LEN {
            let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
            windows.push_front((offset, bytes));
            windows.truncate(WINDOWS_MAX);
        }
        Ok(wanted)
    }

    fn write_at(&self, _: &[IoSlice<'_>], _: u64) -> Result<usize, Error> {
        self.read_only()
    }

    fn sync(&self) -> Result<(), Error> {
        self.read_only()
    }

    fn sync_all(&self) -> Result<(), Error> {
        self.read_only()
    }

    fn len(&self) -> Result<u64, Error> {
        Ok(self.len)
    }

    fn set_len(&self, _: u64) -> Result<(), Error> {
        self.read_only()
    }

    fn map(&self) -> Result<Bytes, Error> {
        self.read_only()
    }
}
