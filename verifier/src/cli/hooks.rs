//! The words of `tally gate` and `tally setup`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `tally gate`.
#[derive(Debug, Subcommand)]
pub enum GateCommand {
    /// Judge what apt is about to unpack; apt's hook calls it (version 3 of the protocol of DPkg::Pre-Install-Pkgs)
    #[command(
        after_help = "Example, as in the file that tally setup apt writes:\n  DPkg::Pre-Install-Pkgs { \"/usr/bin/tally gate apt\"; };\n\nExit status: 0 apt goes on; 1, 2, 3, 4 it is refused, as by tally check; 10 and above nothing could be judged"
    )]
    Apt,
    /// Judge what dnf 4 is about to install; the plugin that tally setup dnf writes calls it
    #[command(after_help = "Example, as the plugin calls it:\n  tally gate dnf < packages.json\n\nExit status: as that of tally gate apt")]
    Dnf,
    /// The same for dnf 5, whose actions plugin calls it in its JSON mode
    #[command(
        after_help = "Example, as in the file that tally setup dnf writes:\n  pre_transaction:*:in:mode=json raise_error=1:/usr/bin/tally gate dnf5\n\nExit status: as that of tally gate apt"
    )]
    Dnf5,
    /// Judge what pacman is about to install; the hook that tally setup pacman writes calls it
    #[command(
        after_help = "Example, as in the file that tally setup pacman writes:\n  Exec = /bin/sh -c '/usr/bin/tally gate pacman --pid $PPID'\n\nExit status: as that of tally gate apt"
    )]
    Pacman(PacmanArgs),
    /// Judge what zypper is about to install; the commit plugin of libzypp that tally setup zypper writes calls it
    #[command(
        after_help = "Example, as the plugin calls it with a frame COMMITBEGIN:\n  tally gate zypper --pid $PPID < frame\n\nExit status: as that of tally gate apt"
    )]
    Zypper(CommitArgs),
    /// Say which hooks are there, when they were last asked, and what came without being judged
    #[command(
        after_help = "Examples:\n  tally gate status\n  tally gate status --json\n  tally gate status --seen\n\nExit status: 0, or 2 if something came without being judged"
    )]
    Status(StatusArgs),
    /// Pass over the next refusal; it is recorded with the reason
    #[command(after_help = "Example:\n  tally gate allow --once --reason \"needed tonight, ticket 17\" hello")]
    Allow(AllowArgs),
}

/// `tally gate pacman`.
#[derive(Debug, Args)]
pub struct PacmanArgs {
    /// The process that asks: how pacman was called tells whether it installs files of no repository
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
    /// Compare what was installed with what was judged
    #[arg(long)]
    pub after: bool,
}

/// `tally gate zypper`.
#[derive(Debug, Args)]
pub struct CommitArgs {
    /// The process that asks: how it was called tells whether it installs files of no repository
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
}

/// `tally gate status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// From now on take everything that is installed for known
    #[arg(long)]
    pub seen: bool,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// The root that is looked at
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
}

/// `tally gate allow`.
#[derive(Debug, Args)]
pub struct AllowArgs {
    /// Once, and not again (there is no other way)
    #[arg(long, required = true)]
    pub once: bool,
    /// Why; it stands in the record
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// For how long it waits to be used
    #[arg(long, value_name = "SPAN", default_value = "1h")]
    pub within: String,
    /// Only for these packages, named as the refusal names them; else for whatever is refused, a stale head too
    #[arg(value_name = "PACKAGE")]
    pub packages: Vec<String>,
}

/// `tally setup`.
#[derive(Debug, Subcommand)]
pub enum SetupCommand {
    /// Have apt ask tally before it unpacks packages
    #[command(
        after_help = "Examples:\n  tally setup apt\n  tally setup apt --remove\n  tally setup apt --root /mnt/image --program /usr/bin/tally"
    )]
    Apt(HookArgs),
    /// Have dnf (4, 5 or both) ask tally before it installs packages
    #[command(
        after_help = "Examples:\n  tally setup dnf\n  tally setup dnf --remove\n  tally setup dnf --root /mnt/image --program /usr/bin/tally"
    )]
    Dnf(HookArgs),
    /// Have pacman ask tally before it installs packages
    #[command(
        after_help = "Examples:\n  tally setup pacman\n  tally setup pacman --remove\n  tally setup pacman --root /mnt/image --program /usr/bin/tally"
    )]
    Pacman(HookArgs),
    /// Have zypper, and what else uses libzypp, ask tally before it installs packages
    #[command(
        after_help = "Examples:\n  tally setup zypper\n  tally setup zypper --remove\n  tally setup zypper --root /mnt/image --program /usr/bin/tally"
    )]
    Zypper(HookArgs),
    /// Have zypper ref ask tally before it takes in new metadata: tally repo check, and what it finds discards them
    #[command(
        after_help = "Examples:\n  tally setup zypper-refresh\n  tally setup zypper-refresh --remove\n  tally setup zypper-refresh --root /mnt/image --program /usr/bin/tally"
    )]
    ZypperRefresh(HookArgs),
    /// Have systemd say a control head every five minutes: for the security team's machine
    #[command(after_help = "Examples:\n  tally setup control-head --key /etc/tallystick/control.key\n  tally setup control-head --remove")]
    ControlHead(ControlHeadArgs),
    /// Have systemd synchronise and verify every day
    #[command(
        after_help = "Examples:\n  tally setup timer\n  tally setup timer --remove\n  tally setup timer --root /mnt/image --program /usr/bin/tally"
    )]
    Timer(HookArgs),
}

/// `tally setup control-head`.
#[derive(Debug, Args)]
pub struct ControlHeadArgs {
    /// Where it is installed
    #[command(flatten)]
    pub hook: HookArgs,
    /// The control key, on that root
    #[arg(long, value_name = "FILE", default_value = "/etc/tallystick/control.key")]
    pub key: PathBuf,
}

/// What is installed where.
#[derive(Debug, Args)]
pub struct HookArgs {
    /// The root to install it on
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// Take it away
    #[arg(long)]
    pub remove: bool,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// Where tally is on that root; where this program is, if not given
    #[arg(long, value_name = "PATH")]
    pub program: Option<PathBuf>,
}
