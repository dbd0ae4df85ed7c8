//! The durable log of ofd-engine and its compaction to Parquet.

pub mod envelope;
