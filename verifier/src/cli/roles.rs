//! The words of `tally roles`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::SigningArgs;

/// `tally roles`.
#[derive(Debug, Subcommand)]
pub enum RolesCommand {
    /// Print the roles in force, and who signed them
    #[command(
        after_help = "Examples:\n  tally roles show\n  tally roles show --version 3 --json\n\nExit status: 0, or 3 if they have expired"
    )]
    Show {
        /// Another version than the one in force
        #[arg(long, value_name = "NUMBER")]
        version: Option<u64>,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Say what a version changes; or what a document changes that is to be signed
    #[command(after_help = "Examples:\n  tally roles diff\n  tally roles diff --from 1 --to 4\n  tally roles diff --file roles-5.txt")]
    Diff {
        /// The version before; if not given, the one before the other
        #[arg(long, value_name = "NUMBER")]
        from: Option<u64>,
        /// The version after; if not given, the one in force
        #[arg(long, value_name = "NUMBER", conflicts_with = "file")]
        to: Option<u64>,
        /// A document that is to follow the version in force
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// List all versions, what each changed, and what was refused
    #[command(after_help = "Examples:\n  tally roles history\n  tally roles history --json")]
    History {
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Put a version that the foundation signed into the log
    #[command(
        after_help = "Example:\n  tally roles submit --key any.key roles-2.txt roles-2.txt.alice.minisig roles-2.txt.bob.minisig\n\nThe key only carries the document; what counts are the signatures"
    )]
    Submit(SubmitArgs),
}

/// `tally roles submit`.
#[derive(Debug, Args)]
pub struct SubmitArgs {
    /// The document
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The members' minisign files
    #[arg(required = true, value_name = "MINISIG")]
    pub signatures: Vec<PathBuf>,
    /// How to sign the entry and wait
    #[command(flatten)]
    pub signing: SigningArgs,
}
