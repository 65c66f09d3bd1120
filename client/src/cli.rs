//! Habits of the command line that all programs share: completions, man pages, errors with a hint, logs on standard error.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use clap::{Command, Subcommand};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::{Identity, Layer, SubscriberExt as _};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The two subcommands that every program has beside its own; flatten them into the program's own enum.
#[derive(Clone, Debug, Subcommand)]
pub enum Documentation {
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  PROGRAM completions bash > /etc/bash_completion.d/PROGRAM")]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a directory
    #[command(after_help = "Example:\n  PROGRAM man /usr/local/share/man/man1")]
    Man {
        /// Where to write them; it must exist
        dir: PathBuf,
    },
}

impl Documentation {
    /// Does what was asked for.
    ///
    /// # Errors
    /// If nothing can be written there.
    pub fn run(&self, mut program: Command) -> io::Result<()> {
        match self {
            Self::Completions { shell } => {
                let name = program.get_name().to_owned();
                let mut script = Vec::new();
                clap_complete::generate(*shell, &mut program, name, &mut script);
                io::stdout().write_all(&script)
            }
            Self::Man { dir } => clap_mangen::generate_to(program, dir),
        }
    }
}

/// An error for a person: what went wrong, and what to do next.
#[derive(Debug)]
pub struct Advice {
    /// What went wrong.
    pub what: String,
    /// What to do next.
    pub hint: String,
}

impl Advice {
    /// An error that carries its own advice.
    #[must_use]
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into() }
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Advice {}

/// Prints an error on standard error, with its causes and, where one of them is [`Advice`], the hint.
pub fn report(error: &anyhow::Error) {
    // Nothing is left to be done where even this fails.
    let _ = io::stderr().write_all(describe(error).as_bytes());
}

fn describe(error: &anyhow::Error) -> String {
    let mut text = format!("error: {error:#}\n");
    // As a context it is found by the error itself alone, as a cause of something else in the chain alone.
    let advice = error.downcast_ref::<Advice>().or_else(|| error.chain().find_map(|cause| cause.downcast_ref()));
    if let Some(advice) = advice {
        text.push_str(&format!("hint: {}\n", advice.hint));
    }
    text
}

/// The commands of a program, itself among them, whose help shows no example; for tests.
#[must_use]
pub fn without_example(program: &Command) -> Vec<String> {
    let has_example = program.get_after_help().is_some_and(|text| text.to_string().contains("Example"));
    let own = (!has_example).then(|| program.get_name().to_owned());
    let below = program.get_subcommands().flat_map(without_example);
    own.into_iter().chain(below.map(|name| format!("{} {name}", program.get_name()))).collect()
}

/// Sends structured logs to standard error: `TALLY_LOG=error|warn|info|debug|trace`, `info` if unset.
pub fn log_to_stderr() {
    log_to_stderr_and(None::<Identity>);
}

/// The same, and to another listener if there is one.
pub fn log_to_stderr_and(other: Option<impl Layer<Registry> + Send + Sync>) {
    let level = std::env::var("TALLY_LOG").ok().and_then(|level| level.parse().ok()).unwrap_or(LevelFilter::INFO);
    let written = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal()).with_target(false);
    // A second call, as in tests, keeps the first subscriber.
    let _ = tracing_subscriber::registry().with(other).with(written.with_filter(level)).try_init();
}

/// Prints the line that says a server is ready; the first on standard output.
///
/// # Errors
/// If standard output is closed: whoever waits for the line would wait for ever.
pub fn announce(address: &std::net::SocketAddr) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "listening on {address}")?;
    out.flush()
}

/// Binds a server's port.
///
/// # Errors
/// If it is not an address of this machine, or taken.
pub async fn listen(address: &str) -> anyhow::Result<tokio::net::TcpListener> {
    let hint = "give an address of this machine and a free port; port 0 takes any free one";
    tokio::net::TcpListener::bind(address).await.map_err(|error| Advice::new(format!("listening on {address}: {error}"), hint).into())
}

/// Reads a file of at most `limit` bytes, with the path in the error.
///
/// # Errors
/// If it cannot be read, or is larger.
pub fn read_limited(path: &Path, limit: u64) -> anyhow::Result<Vec<u8>> {
    use anyhow::Context as _;
    use std::io::Read as _;
    let context = || format!("reading {}", path.display());
    let mut bytes = Vec::new();
    std::fs::File::open(path).with_context(context)?.take(limit + 1).read_to_end(&mut bytes).with_context(context)?;
    anyhow::ensure!(bytes.len() as u64 <= limit, "{} is larger than {limit} bytes", path.display());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_shown_wherever_the_advice_stands() {
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let plain = anyhow::Error::from(Advice::new("no log", "make one"));
        let above = anyhow::Error::from(missing()).context(Advice::new("no log", "make one")).context("starting");
        let below = anyhow::Error::from(Advice::new("no log", "make one")).context("starting");
        for error in [plain, above, below] {
            let text = describe(&error);
            assert!(text.starts_with("error: ") && text.contains("no log") && text.ends_with("\nhint: make one\n"), "{text}");
        }
        assert_eq!(describe(&anyhow::Error::from(missing())), "error: entity not found\n");
    }

    #[test]
    fn commands_without_an_example_are_named() {
        let with = |name: &'static str| Command::new(name).after_help("Example:\n  x");
        let program = with("x").subcommand(with("y")).subcommand(Command::new("z").subcommand(Command::new("a")));
        assert_eq!(without_example(&program), ["x z", "x z a"]);
    }
}
