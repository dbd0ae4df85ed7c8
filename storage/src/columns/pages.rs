//! The pages of one column of one row group, compressed, and where each lies.

use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Encoding, EncodingMask, PageType};
use parquet::column::page::{CompressedPage, Page, PageWriteSpec, PageWriter as _};
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ColumnChunkMetaData, ColumnChunkMetaDataBuilder, OffsetIndexBuilder, PageEncodingStats,
};
use parquet::file::page_index::offset_index::OffsetIndexMetaData;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

use super::packing::{hybrid, repeated};

/// Compresses pages, in memory that is used again: a context of ZSTD for each column would push the others out of the cache.
pub(crate) struct Codec {
    zstd: zstd::bulk::Compressor<'static>,
    /// The page that is made.
    pub(crate) page: Vec<u8>,
    packed: Vec<u8>,
    levels: Vec<u32>,
}

impl Codec {
    /// One of this level.
    ///
    /// # Errors
    /// When there is no such level.
    pub(crate) fn new(level: i32) -> Result<Self, ParquetError> {
        let zstd = zstd::bulk::Compressor::new(level)?;
        Ok(Self { zstd, page: Vec::new(), packed: Vec::new(), levels: Vec::new() })
    }

    /// Begins a page with the rows that are NULL, 0, and that are not, 1: in runs, of which `values` rows are not. The length
    /// of it stands before it.
    pub(crate) fn levels(&mut self, runs: impl Iterator<Item = (u32, usize)>, rows: usize, values: usize) {
        let Self { page, levels, .. } = self;
        page.extend_from_slice(&[0; 4]);
        let start = page.len();
        if values == 0 || values == rows {
            repeated(u32::from(values > 0), rows, 1, page);
        } else {
            levels.clear();
            runs.for_each(|(level, count)| levels.resize(levels.len().saturating_add(count), level));
            hybrid(levels, 1, page);
        }
        let len = u32::try_from(page.len().saturating_sub(start)).unwrap_or(u32::MAX);
        if let Some(place) = page.first_chunk_mut() {
            *place = len.to_le_bytes();
        }
    }

    /// What lies in `page`, compressed.
    fn packed(&mut self) -> Result<Bytes, ParquetError> {
        let page = std::mem::take(&mut self.page);
        let packed = self.packed_of(&page);
        self.page = page;
        packed
    }

    /// A page, compressed.
    fn packed_of(&mut self, page: &[u8]) -> Result<Bytes, ParquetError> {
        self.packed.clear();
        self.packed.reserve(zstd::zstd_safe::compress_bound(page.len()));
        self.zstd.compress_to_buffer(page, &mut self.packed)?;
        Ok(Bytes::copy_from_slice(&self.packed))
    }
}

/// The pages.
pub(crate) struct Pages {
    descr: ColumnDescPtr,
    properties: Arc<WriterProperties>,
    /// Those of data, with their heads.
    bytes: Vec<u8>,
    /// The one of the dictionary, which lies before those of data and is written behind them.
    dictionary: Option<Dictionary>,
    offsets: OffsetIndexBuilder,
    encodings: Vec<PageEncodingStats>,
    whole_len: usize,
    rows: u64,
}

struct Dictionary {
    bytes: Vec<u8>,
    encoding: Encoding,
}

impl Pages {
    /// None yet.
    pub(crate) fn new(descr: &ColumnDescPtr, properties: &Arc<WriterProperties>) -> Self {
        Self {
            descr: Arc::clone(descr),
            properties: Arc::clone(properties),
            bytes: Vec::new(),
            dictionary: None,
            offsets: OffsetIndexBuilder::new(),
            encodings: Vec::new(),
            whole_len: 0,
            rows: 0,
        }
    }

    /// The column.
    pub(crate) fn descr(&self) -> &ColumnDescPtr {
        &self.descr
    }

    /// How it is written.
    pub(crate) fn properties(&self) -> &WriterProperties {
        &self.properties
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len().saturating_add(self.dictionary.as_ref().map_or(0, |it| it.bytes.len()))
    }

    /// Puts the page of data that the codec holds behind the others. `text_bytes` are those of its texts as they are.
    ///
    /// # Errors
    /// Of the compression.
    pub(crate) fn add(
        &mut self,
        codec: &mut Codec,
        encoding: Encoding,
        rows: u32,
        text_bytes: Option<i64>,
    ) -> Result<(), ParquetError> {
        let packed = codec.packed()?;
        self.add_packed(packed, codec.page.len(), encoding, rows, text_bytes)
    }

    /// The same of a page without levels that lies elsewhere.
    ///
    /// # Errors
    /// Of the compression.
    pub(crate) fn add_values(
        &mut self,
        codec: &mut Codec,
        values: &[u8],
        encoding: Encoding,
        rows: u32,
        text_bytes: Option<i64>,
    ) -> Result<(), ParquetError> {
        self.add_packed(codec.packed_of(values)?, values.len(), encoding, rows, text_bytes)
    }

    fn add_packed(
        &mut self,
        buf: Bytes,
        whole_len: usize,
        encoding: Encoding,
        rows: u32,
        text_bytes: Option<i64>,
    ) -> Result<(), ParquetError> {
        let page = Page::DataPage {
            buf,
            num_values: rows,
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let at = i64::try_from(self.bytes.len()).unwrap_or(i64::MAX);
        let spec = write_page(page, whole_len, &mut self.bytes)?;
        self.offsets.append_row_count(i64::from(rows));
        self.offsets.append_unencoded_byte_array_data_bytes(text_bytes);
        self.offsets.append_offset_and_size(at, i32::try_from(spec.compressed_size).unwrap_or(i32::MAX));
        self.whole_len = self.whole_len.saturating_add(spec.uncompressed_size);
        self.rows = self.rows.saturating_add(u64::from(rows));
        match self.encodings.last_mut() {
            Some(last) if last.encoding == encoding => last.count = last.count.saturating_add(1),
            _ => {
                let page_type = PageType::DATA_PAGE;
                self.encodings.push(PageEncodingStats { page_type, encoding, count: 1 });
            }
        }
        Ok(())
    }

    /// Takes in the page of the dictionary, of so many values, that the codec holds.
    ///
    /// # Errors
    /// Of the compression.
    pub(crate) fn add_dictionary(&mut self, codec: &mut Codec, values: usize) -> Result<(), ParquetError> {
        let encoding = self.properties.dictionary_page_encoding();
        let num_values = u32::try_from(values).unwrap_or(u32::MAX);
        let page = Page::DictionaryPage { buf: codec.packed()?, num_values, encoding, is_sorted: false };
        let mut bytes = Vec::new();
        let spec = write_page(page, codec.page.len(), &mut bytes)?;
        self.whole_len = self.whole_len.saturating_add(spec.uncompressed_size);
        self.dictionary = Some(Dictionary { bytes, encoding });
        Ok(())
    }

    /// All of them as they lie in the file, what is told of the column, and where in it they lie.
    pub(crate) fn finish(self) -> (Bytes, ColumnChunkMetaDataBuilder, OffsetIndexMetaData) {
        let mut encodings = self.encodings;
        let mut bytes = Vec::new();
        let mut dictionary_at = None;
        if let Some(dictionary) = self.dictionary {
            bytes = dictionary.bytes;
            dictionary_at = Some(0);
            let (page_type, encoding) = (PageType::DICTIONARY_PAGE, dictionary.encoding);
            encodings.insert(0, PageEncodingStats { page_type, encoding, count: 1 });
        }
        let number = |len: usize| i64::try_from(len).unwrap_or(i64::MAX);
        let data_at = number(bytes.len());
        if bytes.is_empty() {
            bytes = self.bytes;
        } else {
            bytes.extend_from_slice(&self.bytes);
        }
        let mut offsets = self.offsets.build();
        for location in &mut offsets.page_locations {
            location.offset = location.offset.saturating_add(data_at);
        }
        let all = encodings.iter().map(|it| it.encoding).chain([Encoding::RLE]).collect::<Vec<_>>();
        let told = ColumnChunkMetaData::builder(Arc::clone(&self.descr))
            .set_compression(self.properties.compression(self.descr.path()))
            .set_encodings_mask(EncodingMask::new_from_encodings(all.iter()))
            .set_page_encoding_stats(encodings)
            .set_total_compressed_size(number(bytes.len()))
            .set_total_uncompressed_size(number(self.whole_len))
            .set_num_values(i64::try_from(self.rows).unwrap_or(i64::MAX))
            .set_data_page_offset(data_at)
            .set_dictionary_page_offset(dictionary_at);
        (bytes.into(), told, offsets)
    }
}

/// Puts a page behind those that are there, with its head.
fn write_page(page: Page, whole_len: usize, out: &mut Vec<u8>) -> Result<PageWriteSpec, ParquetError> {
    let mut sink = TrackedWrite::new(out);
    let mut writer = SerializedPageWriter::new(&mut sink);
    let spec = writer.write_page(CompressedPage::new(page, whole_len))?;
    writer.close()?;
    Ok(spec)
}
