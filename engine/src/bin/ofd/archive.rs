//! `ofd archive`: where the archive of a directory lies.

use clap::Args;
use ofd_engine::storage::manifest::Archive;
use ofd_engine::storage::store::place;
use ofd_engine::storage::{Env, RealEnv};
use ofd_engine::{ArchivePlace, Engine};
use serde_json::json;
use std::sync::Arc;

use crate::data::DataDir;
use crate::failure::Failure;
use crate::output::Output;

/// Tells where the archive lies, or has it lie in an object store.
#[derive(Debug, Args)]
#[command(after_help = "\
Without options it tells. With --url the archive of this directory begins in an object store; the directory remembers it,
and the other commands need no option. Keys come from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or from a
file of two lines, access key and secret key. While a server runs, it is told by its configuration (archive.url).

Examples:
  ofd archive --data /var/lib/ofd --url s3://archive/ofd --endpoint https://storage.example.net --region ru-1
  ofd archive --data /var/lib/ofd --json")]
pub(crate) struct ArchiveCommand {
    #[command(flatten)]
    data: DataDir,
    /// s3://bucket/prefix
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Where the service is; without it, as the environment says.
    #[arg(long, value_name = "URL", requires = "url")]
    endpoint: Option<String>,
    /// Its region; without it, as the environment says.
    #[arg(long, value_name = "REGION", requires = "url")]
    region: Option<String>,
    /// A file with the keys; without it, as the environment says.
    #[arg(long, value_name = "FILE", requires = "url")]
    keys_file: Option<String>,
    /// Take over the archive of a directory that is gone for good.
    #[arg(long)]
    adopt: bool,
    /// One JSON object instead of a line for people.
    #[arg(long)]
    json: bool,
}

impl ArchiveCommand {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        if self.url.is_some() || self.adopt {
            // Not `existing`: a directory may be told before anything is stored in it.
            let mut builder = Engine::builder(&self.data.dir).io_threads(1).workers(1);
            if let Some(url) = &self.url {
                builder = builder.archive_place(ArchivePlace {
                    url: url.clone(),
                    endpoint: self.endpoint.clone(),
                    region: self.region.clone(),
                    keys_file: self.keys_file.clone(),
                });
            }
            let builder = if self.adopt { builder.adopt_archive() } else { builder };
            builder.open()?.shutdown()?;
        }
        let dir = self.data.existing()?;
        let here: Arc<dyn Env> = Arc::new(RealEnv::new(dir));
        let told = place::place(&*here)?;
        let archive = Archive::open(&place::with_store(here)?)?;
        let through = archive.compacted_through().as_u64();
        let files = archive.runs().iter().map(|run| run.files.len()).sum::<usize>();
        let (url, endpoint) = told.map_or((None, None), |it| (Some(it.url), it.endpoint));
        let mut output = Output::new();
        if self.json {
            let line =
                json!({"url": url, "endpoint": endpoint, "compacted_through": through, "files": files});
            output.line(&line.to_string())?;
        } else {
            let place = url.unwrap_or_else(|| dir.join("parquet").display().to_string());
            output.line(&format!("{place}: {files} files, compacted through position {through}"))?;
        }
        output.flush()
    }
}
