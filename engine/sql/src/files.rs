//! Parquet files of the archive as DataFusion reads them: through the [`Env`] of the archive, by the path in the manifest.
//!
//! No store of objects, no listing, no path from outside: a scan names the files that the manifest named, and this
//! factory opens no others, and none that has another length than the manifest says. A file once opened in a session stays open, with its footer read, up to [`OPEN_MAX`] of them.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use datafusion::common::DataFusionError;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use ofd_storage::Env;
use ofd_storage::columns::read::Chunks;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::ChunkReader;

use crate::error::Error;

/// Files that a session keeps open.
const OPEN_MAX: usize = 256;

/// An open file; its footer once somebody has read it.
#[derive(Clone)]
struct Opened {
    chunks: Chunks,
    footer: Arc<Mutex<Option<Arc<ParquetMetaData>>>>,
}

/// Opens the files of an archive.
pub(crate) struct Files {
    env: Arc<dyn Env>,
    open: Mutex<BTreeMap<String, Opened>>,
}

impl Files {
    pub(crate) fn new(env: Arc<dyn Env>) -> Self {
        Self { env, open: Mutex::new(BTreeMap::new()) }
    }

    fn open(&self, path: &str) -> std::result::Result<Opened, ofd_storage::Error> {
        let known = |open: &BTreeMap<String, Opened>| open.get(path).cloned();
        if let Some(opened) = known(&self.open.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(opened);
        }
        let opened = Opened { chunks: Chunks::open(&*self.env, Path::new(path))?, footer: Arc::default() };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= OPEN_MAX {
            open.clear();
        }
        open.insert(path.to_owned(), opened.clone());
        Ok(opened)
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Files")
    }
}

impl ParquetFileReaderFactory for Files {
    fn create_reader(
        &self,
        _partition: usize,
        file: PartitionedFile,
        _footer_len: Option<usize>,
        _metrics: &ExecutionPlanMetricsSet,
    ) -> datafusion::common::Result<Box<dyn AsyncFileReader + Send>> {
        let opened = self
            .open(file.object_meta.location.as_ref())
            .map_err(|error| DataFusionError::External(Box::new(error)))?;
        // Under the name of a file that the manifest named another may stand by now, with fewer rows.
        if opened.chunks.bytes() != file.object_meta.size {
            return Err(DataFusionError::External(Box::new(Error::changed())));
        }
        Ok(Box::new(Reader(opened)))
    }
}

/// Reads at once, on the thread that asks: what is asked for lies in the page cache or on a local disk, and the threads of
/// a session do nothing else.
struct Reader(Opened);

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        let read = || {
            let len = range.end.checked_sub(range.start).and_then(|len| usize::try_from(len).ok());
            let len = len.ok_or_else(|| ParquetError::EOF(format!("bytes {range:?}")))?;
            self.0.chunks.get_bytes(range.start, len)
        };
        std::future::ready(read()).boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        let policy = options.map_or(PageIndexPolicy::Skip, ArrowReaderOptions::column_index_policy);
        let read = || {
            let mut footer = self.0.footer.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = footer.as_ref()
                && (policy == PageIndexPolicy::Skip || known.column_index().is_some())
            {
                return Ok(Arc::clone(known));
            }
            let reader = ParquetMetaDataReader::new().with_page_index_policy(policy);
            let metadata = Arc::new(reader.parse_and_finish(&self.0.chunks)?);
            *footer = Some(Arc::clone(&metadata));
            Ok(metadata)
        };
        std::future::ready(read()).boxed()
    }
}
