//! `--data DIR`: the directory of an engine, and who answers for it.

use std::path::PathBuf;

use clap::Args;
use ofd_engine::control::{ControlClient, ControlError, Request};
use ofd_engine::{Engine, EngineBuilder, Error};

use crate::failure::{Exit, Failure};

/// The directory of an engine.
#[derive(Clone, Debug, Args)]
pub(crate) struct DataDir {
    /// The data directory.
    #[arg(long = "data", value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

impl DataDir {
    /// The directory, when an engine has ever worked in it; exit code 4 otherwise.
    pub(crate) fn existing(&self) -> Result<&PathBuf, Failure> {
        let dir = &self.dir;
        if !dir.is_dir() {
            return Err(Failure::new(Exit::NotFound, format!("{}: no such directory", dir.display())));
        }
        if !dir.join("log").is_dir() {
            let text = format!("{}: no data of an engine is in this directory", dir.display());
            return Err(Failure::new(Exit::NotFound, text));
        }
        Ok(dir)
    }

    /// Asks the server that owns the directory; `None` when there is none.
    pub(crate) fn ask_server(&self, request: &Request) -> Result<Option<Vec<String>>, Failure> {
        let Some(mut client) = self.server()? else { return Ok(None) };
        let mut answers = Vec::new();
        self.ask(&mut client, request, &mut |data| answers.push(data.to_owned()))?;
        Ok(Some(answers))
    }

    /// Asks the server that owns the directory, or takes the directory for that time and does it here, opened by `builder`
    /// with few threads. The answers, a line each.
    pub(crate) fn ask_or_do(
        &self,
        request: &Request,
        builder: EngineBuilder,
        here: impl FnOnce(&Engine) -> Result<Vec<String>, Error>,
    ) -> Result<Vec<String>, Failure> {
        self.existing()?;
        crate::serve::survive_full_files()?;
        match self.ask_server(request)? {
            Some(lines) => Ok(lines),
            None => {
                let engine = builder.io_threads(1).workers(1).open()?;
                let lines = here(&engine);
                engine.shutdown()?;
                Ok(lines?)
            }
        }
    }

    /// To open it here.
    pub(crate) fn builder(&self) -> EngineBuilder {
        Engine::builder(&self.dir)
    }

    /// A connection to the server that owns the directory; `None` when there is none.
    pub(crate) fn server(&self) -> Result<Option<ControlClient>, Failure> {
        ControlClient::connect(&self.dir).map_err(|error| self.failed(error))
    }

    /// Asks it over this connection, and hands each answer on.
    pub(crate) fn ask(
        &self,
        client: &mut ControlClient,
        request: &Request,
        each: &mut dyn FnMut(&str),
    ) -> Result<(), Failure> {
        client.ask(request, each).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: ControlError) -> Failure {
        match error {
            ControlError::Refused { kind, text } => Failure::of_kind(kind, text),
            broken => Failure::new(Exit::Failure, format!("{}: {broken}", self.dir.display())),
        }
    }
}
