//! An object store in memory, for worlds whose archive lies in one.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use ofd_storage::env::File;
use ofd_storage::store::{Store, Version};
use ofd_storage::{Error, ErrorKind};

/// Objects by their names, each with the number of the put that has brought it.
#[derive(Default)]
pub(crate) struct MemoryStore {
    objects: Mutex<BTreeMap<PathBuf, (u64, Bytes)>>,
}

/// An object, for reading.
struct Object(Bytes);

impl File for Object {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Error> {
        let from = (offset as usize).min(self.0.len());
        let len = buffer.len().min(self.0.len() - from);
        buffer[..len].copy_from_slice(&self.0[from..from + len]);
        Ok(len)
    }

    fn write_at(&self, _parts: &[IoSlice<'_>], _offset: u64) -> Result<usize, Error> {
        unreachable!("an object is written whole");
    }

    fn sync(&self) -> Result<(), Error> {
        unreachable!("an object is written whole");
    }

    fn sync_all(&self) -> Result<(), Error> {
        unreachable!("an object is written whole");
    }

    fn len(&self) -> Result<u64, Error> {
        Ok(self.0.len() as u64)
    }

    fn set_len(&self, _len: u64) -> Result<(), Error> {
        unreachable!("an object is written whole");
    }

    fn map(&self) -> Result<Bytes, Error> {
        Ok(self.0.clone())
    }
}

impl MemoryStore {
    fn put_bytes(&self, path: &Path, bytes: Bytes) -> Version {
        let mut objects = self.objects.lock().unwrap();
        let number = objects.values().map(|(number, _)| *number).max().unwrap_or(0) + 1;
        objects.insert(path.to_owned(), (number, bytes));
        version(number)
    }
}

fn version(number: u64) -> Version {
    Version { e_tag: Some(number.to_string()), version: None }
}

impl Store for MemoryStore {
    fn name(&self) -> &str {
        "memory://archive"
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn File>, Error> {
        match self.objects.lock().unwrap().get(path) {
            Some((_, bytes)) => Ok(Arc::new(Object(bytes.clone()))),
            None => Err(Error::io(path.display().to_string(), std::io::ErrorKind::NotFound.into())),
        }
    }

    fn put(&self, path: &Path, file: &dyn File) -> Result<(), Error> {
        let mut bytes = vec![0; file.len()? as usize];
        let mut at = 0;
        while at < bytes.len() {
            at += file.read_at(&mut bytes[at..], at as u64)?;
        }
        self.put_bytes(path, bytes.into());
        Ok(())
    }

    fn get(&self, path: &Path, _len_max: u64) -> Result<Option<(Bytes, Version)>, Error> {
        let objects = self.objects.lock().unwrap();
        Ok(objects.get(path).map(|(number, bytes)| (bytes.clone(), version(*number))))
    }

    fn put_if(&self, path: &Path, bytes: Bytes, there: Option<&Version>) -> Result<Version, Error> {
        let stands = self.objects.lock().unwrap().get(path).map(|(number, _)| version(*number));
        if stands.as_ref() != there {
            return Err(Error::new(ErrorKind::Fix, "another stands there"));
        }
        Ok(self.put_bytes(path, bytes))
    }

    fn list(&self, folder: &Path, most: usize) -> Result<Vec<PathBuf>, Error> {
        let objects = self.objects.lock().unwrap();
        Ok(objects.keys().filter(|path| path.starts_with(folder)).take(most).cloned().collect())
    }

    fn remove(&self, path: &Path) -> Result<(), Error> {
        self.objects.lock().unwrap().remove(path);
        Ok(())
    }
}
