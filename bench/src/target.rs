//! What is measured: the real programs in directories of their own, an open log alone, or a log with roles and witnesses.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use e2e::{Program, World, run};
use tlog::{Policy, Signer};

use crate::watch;

/// A log made with `init --open`, without witnesses.
pub struct OpenLog {
    dir: tempfile::TempDir,
    program: Option<Program>,
}

impl OpenLog {
    /// Makes and starts one.
    ///
    /// # Errors
    /// If a program cannot be run or does not start.
    pub fn start() -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("tally-bench-").tempdir()?;
        let log = dir.path().join("log");
        let made = run("tally-log", ["init", "--open", "--origin", "bench.example/open", "--dir", &log.display().to_string()]);
        anyhow::ensure!(made.status.success(), "tally-log init: {}", String::from_utf8_lossy(&made.stderr));
        fs::write(dir.path().join("policy"), "quorum none\n")?;
        let mut open = Self { dir, program: None };
        open.serve()?;
        Ok(open)
    }

    /// Starts the server and waits until it takes entries; returns how long that took.
    ///
    /// # Errors
    /// If it does not start.
    pub fn serve(&mut self) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let (log, policy) = (self.dir().display().to_string(), self.dir.path().join("policy").display().to_string());
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--dir", &log, "--policy", &policy];
        self.program = Some(Program::start("tally-log", arguments, &self.dir.path().join("stderr"))?);
        watch::published(self.program()?.address())?;
        Ok(started.elapsed())
    }

    /// Ends the server as an operator does.
    ///
    /// # Errors
    /// If it does not end.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        let status = self.program.take().context("the log runs")?.terminate()?;
        anyhow::ensure!(status.success(), "the log ended with {status}");
        Ok(())
    }

    /// The log's directory.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// The running server.
    ///
    /// # Errors
    /// If it is stopped.
    pub fn program(&self) -> anyhow::Result<&Program> {
        self.program.as_ref().context("the log runs")
    }
}

/// A log with roles and three witnesses, of which two must cosign.
pub struct CheckedLog {
    world: World,
}

impl CheckedLog {
    /// Makes and starts everything.
    #[must_use]
    pub fn start() -> Self {
        Self { world: World::start() }
    }

    /// The log's process and address.
    ///
    /// # Errors
    /// If it is stopped.
    pub fn program(&self) -> anyhow::Result<&Program> {
        self.world.log.as_ref().context("the log runs")
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If it is stopped.
    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.program()?.address())
    }

    /// The witnesses' processes.
    #[must_use]
    pub fn witnesses(&self) -> Vec<u32> {
        self.world.witnesses.iter().flatten().map(Program::id).collect()
    }

    /// The log's directory.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        self.world.at("log")
    }

    /// The policy that its checkpoints satisfy.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.world.policy()
    }

    /// A builder's key.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn builder(&self) -> anyhow::Result<Arc<dyn Signer>> {
        Ok(Arc::from(client::keys::load(&self.world.at("builder-1/keys/builder.key"))?))
    }
}
