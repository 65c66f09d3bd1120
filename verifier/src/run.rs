//! The commands: each opens what it needs, calls the part that judges, and prints.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use attest::Bundle;
use clap::CommandFactory as _;
use client::block_on;
use tlog::Policy;

use crate::audit::{Plan, Request as AuditRequest};
use crate::cache::Cache;
use crate::check;
use crate::cli::{
    AdviseCommand, AuditArgs, AuditCommand, BundleCommand, CheckArgs, Cli, Command, ExplainArgs, ExportFormat, Format, GateCommand,
    OutputArgs, ProofCommand, SyncArgs, TeamCommand,
};
use crate::daily;
use crate::exit;
use crate::expect;
use crate::failure::Failure;
use crate::gate;
use crate::hash::{Progress, Silent};
use crate::import::ImportError;
use crate::install;
use crate::knowledge::Knowledge;
use crate::proofs;
use crate::render;
use crate::report::Report;
use crate::setup::{PATIENCE, Setup};
use crate::story;
use crate::subject::Sources;
use crate::sync::Syncer;
use crate::time;
use crate::verdict::Wanted;
use crate::verify::{Ground, Request, Selection, Verified, verify};
use crate::views::{Place, Seen, Views};

/// Runs a command; the result is the exit status.
///
/// # Errors
/// Whatever ends the run without a verdict.
pub fn run(cli: Cli) -> Result<u8, Failure> {
    match cli.command {
        Command::Sync(args) => sync(&Setup::load(&cli.config)?, &args),
        Command::Verify(args) => daily::run(&cli.config, &args),
        Command::Check(args) => check(&Setup::load(&cli.config)?, &args),
        Command::Gate(GateCommand::Apt) => gate::apt::run(&cli.config),
        Command::Gate(GateCommand::Dnf) => gate::dnf::run(&cli.config),
        Command::Gate(GateCommand::Dnf5) => gate::dnf::run_actions(&cli.config),
        Command::Gate(GateCommand::Pacman(args)) => gate::pacman::run(&cli.config, &args),
        Command::Gate(GateCommand::Zypper(args)) => gate::zypper::run(&cli.config, &args),
        Command::Gate(GateCommand::Status(args)) => gate::status::run(&cli.config, &args),
        Command::Gate(GateCommand::Allow(args)) => gate::allow(&Setup::load(&cli.config)?, &args),
        Command::Setup(command) => {
            println!("{}", install::run(&cli.config, &command)?);
            Ok(exit::CLEAN)
        }
        Command::Explain(args) => explain(&Setup::load(&cli.config)?, &args),
        Command::Bundle(BundleCommand::Export { file }) => export(&Setup::load(&cli.config)?, &file),
        Command::Bundle(BundleCommand::Import { source }) => import(&Setup::load(&cli.config)?, &source),
        Command::Proof(ProofCommand::Verify { proof, entry, policy }) => proofs::prove(&cli.config, policy, &proof, &entry),
        Command::Proof(ProofCommand::Verdict { file, key, max_age }) => proofs::verdict(&file, &key, max_age.as_deref()),
        Command::Roles(command) => crate::roles::run(&Setup::load(&cli.config)?, &command),
        Command::Repo(command) => crate::repo::run(&Setup::load(&cli.config)?, &command),
        Command::Advise(TeamCommand::Say(command)) => advise(&Setup::load(&cli.config)?, &command),
        Command::Advise(TeamCommand::Export { format }) => export_warnings(&Setup::load(&cli.config)?, format),
        Command::Audit(AuditArgs { command: Some(AuditCommand::Evidence { file, key }), .. }) => proofs::evidence(&file, &key),
        Command::Audit(args) => audit(&Setup::load(&cli.config)?, &args),
        Command::Documentation(documentation) => {
            documentation.run(Cli::command()).map_err(|error| Failure::Other(error.into()))?;
            Ok(exit::CLEAN)
        }
    }
}

fn check(setup: &Setup, args: &CheckArgs) -> Result<u8, Failure> {
    let wanted = Wanted::open(&args.statement, &setup.config)?;
    let report = check::check(setup, &args.files, args.offline)?;
    let status = print(&report, args.output)?;
    Ok(wanted.map_or(status, |wanted| crate::verdict::status(status, wanted.write(&report))))
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get)
}

fn sync(setup: &Setup, args: &SyncArgs) -> Result<u8, Failure> {
    let log = setup.log()?;
    let lock = setup.cache.lock(PATIENCE)?;
    let syncer = setup.syncer(&log, &lock, args.full);
    let roots: Vec<&Path> = args.root.iter().map(PathBuf::as_path).collect();
    compare(setup, &syncer, &args.compare)?;
    let synced = block_on(syncer.installed(&roots, &args.names, args.prune))
        .map_err(|error| Failure::Other(error.into()))?
        .map_err(|error| setup.keep_evidence(error))?;
    println!(
        "synced to {} entries: {} of them kept with proofs, {} of these new, for {} names; {} manifests fetched",
        synced.size, synced.leaves, synced.new, synced.names, synced.manifests
    );
    if !synced.missing.is_empty() {
        println!("{} manifests are not to be had from the log; packages that need them cannot be judged", synced.missing.len());
    }
    let own = client::cli::read_limited(&setup.config.witness_policy, Policy::MAX_BYTES as u64)?;
    if synced.policy.is_some_and(|published| published != tlog::Hash::digest(&own)) {
        tracing::warn!("the witness policy here is not the one that the foundation's roles name; compare them");
    }
    if let Err(error) = gate::begin(setup) {
        tracing::warn!("{error}; a gate that is to enforce does not begin to");
    }
    Ok(exit::CLEAN)
}

/// The places of the configuration and those of the command line.
fn places(setup: &Setup, more: &[String]) -> Vec<Place> {
    let mut places = setup.config.compare.clone();
    places.extend(more.iter().map(|text| Place::parse(text)));
    places
}

/// Compares what the log shows here with what others have seen, before anything is taken from it.
fn compare(setup: &Setup, syncer: &Syncer<'_>, more: &[String]) -> Result<(), Failure> {
    let places = places(setup, more);
    if places.is_empty() {
        return Ok(());
    }
    let look = async {
        let known = syncer.advance().await?;
        Ok(Views { log: syncer.log, policy: syncer.policy, known: &known }.look(&places).await)
    };
    let views = block_on(look).map_err(|error| Failure::Other(error.into()))?.map_err(|error| setup.keep_evidence(error))?;
    let mut same = 0;
    for view in &views {
        match &view.seen {
            Seen::Same(_) => same += 1,
            Seen::Nothing => {}
            Seen::Fork(evidence) => {
                tracing::error!("{} has seen another history of the log", view.place);
                return Err(setup.convicted(evidence));
            }
            Seen::Unproven(unproven) => {
                for note in [&unproven.smaller, &unproven.larger] {
                    setup.cache.keep_unproven(syncer.lock, note)?;
                }
                tracing::warn!(
                    "{} has a checkpoint that may be of another history: {unproven}; both are kept and compared again",
                    view.place
                );
            }
            Seen::Refused(why) => tracing::warn!("{} could not be compared with: {why}", view.place),
        }
    }
    println!("compared with {} other views of the log: {same} are of this history", views.len());
    Ok(())
}

/// What to judge on a root.
#[derive(Debug)]
pub struct Asked<'a> {
    /// Which packages, or which file.
    pub selection: Selection,
    /// A list of packages kept elsewhere.
    pub expect: &'a [expect::Expected],
    /// Whether to look for what no package owns.
    pub unowned: bool,
}

/// Judges what is installed on a root; with what is known about it.
///
/// # Errors
/// If there is no verdict.
pub fn verified(setup: &Setup, root: &Path, asked: Asked<'_>, progress: &dyn Progress) -> Result<(Verified, Knowledge), Failure> {
    let (ground, known) = std::thread::scope(|scope| {
        let ground = scope.spawn(|| Ground::open(root));
        let known = setup.knowledge();
        (ground.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), known)
    });
    let (knowledge, coverage) = known?;
    let namespaces = setup.namespaces(&knowledge, root);
    let manifests = setup.cache.manifests();
    let now = time::now();
    let sources = Sources { knowledge: &knowledge, manifests: &manifests, rules: &setup.rules, namespaces: &namespaces, now };
    let Asked { selection, expect, unowned } = asked;
    let ground = ground?;
    let watch = (selection == Selection::All && root == Path::new("/")).then(|| ground.watch(&setup.config.state)).flatten();
    let request = Request { root, selection, expect, now, threads: threads(), coverage: &coverage, unowned };
    let mut verified = verify(&ground, &request, &sources, &setup.policy, &setup.accept, progress)?;
    verified.report.gate = watch;
    // The process ends soon; giving this back piece by piece would take a twentieth of the run.
    std::mem::forget(ground);
    Ok((verified, knowledge))
}

fn explain(setup: &Setup, args: &ExplainArgs) -> Result<u8, Failure> {
    // Without doubled slashes and one at the end.
    let path: PathBuf = args.path.components().collect();
    let path = path.as_os_str().as_encoded_bytes().to_vec();
    if !path.starts_with(b"/") {
        return Err(Failure::Usage(format!("{} is not an absolute path", args.path.display())));
    }
    // Links in between may lead anywhere, so that nobody can say what is meant.
    if args.path.components().any(|part| part == std::path::Component::ParentDir) {
        return Err(Failure::Usage(format!("{} leads back by ..; write it without", args.path.display())));
    }
    let asked = Asked { selection: Selection::Path(path.clone()), expect: &[], unowned: false };
    let (mut verified, knowledge) = verified(setup, &args.root, asked, &Silent)?;
    verified.report.command = "explain";
    if !args.json {
        let mut out = std::io::stdout();
        out.write_all(story::tell(&verified, &knowledge, &path).as_bytes()).map_err(|error| Failure::Other(error.into()))?;
    }
    let format = if args.json { Format::Json } else { Format::Text };
    print(&verified.report, OutputArgs { format, json: false, jsonl: false, verbose: true, quiet: false })
}

fn export(setup: &Setup, file: &Path) -> Result<u8, Failure> {
    let mut bundle = setup.cache.known()?.0;
    let knowledge = Knowledge::new(&bundle, &setup.policy, setup.config.roles_sha256)?;
    for (root, files) in knowledge.manifests() {
        if let Ok(text) = setup.cache.manifests().text(&files) {
            bundle.manifests.push(attest::bundle::BundledManifest { root, text });
        }
    }
    let bytes = bundle.encode();
    crate::cache::replace(file, &bytes).map_err(|error| Failure::File(format!("{}: {error}", file.display())))?;
    println!(
        "wrote {} entries and {} manifests, {} bytes, to {}",
        bundle.leaves.len(),
        bundle.manifests.len(),
        bytes.len(),
        file.display()
    );
    let asides = setup.cache.asides()?.len();
    if asides > 0 {
        tracing::warn!("{asides} imported bundles that nothing joins with the rest are not in it; tally sync joins them");
    }
    Ok(exit::CLEAN)
}

/// A file, or what an address answers.
fn read_source(source: &str) -> Result<Vec<u8>, Failure> {
    let is_address = source.starts_with("https://") || source.starts_with("http://");
    let Some((base, path)) = source.rsplit_once('/').filter(|_| is_address) else {
        return Ok(client::cli::read_limited(Path::new(source), MAX_BUNDLE)?);
    };
    let http = client::Http::new(base, FETCH_TIME)?;
    let limit = usize::try_from(MAX_BUNDLE).unwrap_or(usize::MAX);
    Ok(block_on(http.get(path, limit)).map_err(|error| Failure::Other(error.into()))??.body.to_vec())
}

/// A signed warning that the log does not show, from wherever it comes.
fn hear(setup: &Setup, source: &str, entry: &[u8]) -> Result<u8, Failure> {
    let lock = setup.cache.lock(PATIENCE)?;
    let knowledge = setup.knowledge()?.0;
    let refuse = |error: crate::unlogged::UnloggedError| Failure::Unproven(format!("{source}: {error}; nothing was changed"));
    let (key, advisory) = crate::unlogged::check(entry, knowledge.judge()).map_err(refuse)?;
    setup.cache.keep_unlogged(&lock, entry)?;
    println!(
        "took in the warning {}, signed by {}; as far as is known here, the log does not show it",
        crate::finding::printable(advisory.id.as_bytes()),
        key.name().as_str()
    );
    Ok(exit::CLEAN)
}

fn export_warnings(setup: &Setup, format: ExportFormat) -> Result<u8, Failure> {
    let knowledge = setup.knowledge()?.0;
    let confirmed: Vec<_> = knowledge.advisories().in_force().iter().filter(|warning| warning.confirmed).collect();
    let as_of = setup.policy.freshness(knowledge.cosigned(), u64::MAX).unwrap_or_else(time::now);
    let origin = &knowledge.checkpoint().checkpoint.origin;
    write_out(&match format {
        ExportFormat::Osv => crate::export::osv(&confirmed, as_of),
        ExportFormat::Openvex => crate::export::openvex(&confirmed, origin, as_of),
    })?;
    Ok(exit::CLEAN)
}

fn import(setup: &Setup, source: &str) -> Result<u8, Failure> {
    let bytes = read_source(source)?;
    if bytes.starts_with(b"{\"payload\":") {
        return hear(setup, source, &bytes);
    }
    let bundle = Bundle::parse(&bytes).map_err(|error| Failure::Unproven(format!("{source}: {error}")))?;
    drop(bytes);
    let lock = setup.cache.lock(PATIENCE)?;
    let imported = crate::import::import(&bundle, &setup.policy, setup.config.roles_sha256, &setup.cache, &lock);
    let imported = imported.map_err(|error| match error {
        ImportError::Fork(evidence) => setup.convicted(&evidence),
        ImportError::Cache(error) => Failure::Cache(error),
        error @ ImportError::TooMany(_) => Failure::File(error.to_string()),
        error => Failure::Unproven(format!("{source}: {error}; nothing was changed")),
    })?;
    println!(
        "imported {} entries, proven under a tree of {}; {} of them and {} manifests are new here",
        bundle.leaves.len(),
        bundle.checkpoint.tree().size,
        imported.entries,
        imported.manifests
    );
    if !imported.proven {
        println!("that its tree and the one known here are of one history is the witnesses' word, until tally sync shows it");
    }
    Ok(exit::CLEAN)
}

fn advise(setup: &Setup, command: &AdviseCommand) -> Result<u8, Failure> {
    let signing = command.signing();
    let signer = client::keys::load(&signing.key).map_err(|error| Failure::File(error.to_string()))?;
    let lock = setup.cache.lock(PATIENCE)?;
    let log = setup.log()?;
    let syncer = setup.syncer(&log, &lock, false);
    let said = block_on(crate::advise::advise(&syncer, command, &*signer, time::now(), signing));
    let proof = said.map_err(|error| Failure::Other(error.into()))?.map_err(|error| setup.not_said(error))?;
    println!("published as entry {} of {}", proof.index, proof.checkpoint.checkpoint.origin);
    Ok(exit::CLEAN)
}

fn audit(setup: &Setup, args: &AuditArgs) -> Result<u8, Failure> {
    let plan = Plan::new(args)?;
    // The auditor remembers apart from the cache what it has seen: it follows the log at its own pace.
    let home = Cache::new(&setup.config.cache.join("audit"));
    let lock = home.lock(PATIENCE)?;
    let log = setup.log()?;
    let own = client::cli::read_limited(&setup.config.witness_policy, Policy::MAX_BYTES as u64)?;
    let syncer = Syncer { cache: &home, ..setup.syncer(&log, &lock, false) };
    let copy = args.mirror.clone().unwrap_or_else(|| home.dir().join("copy"));
    let own_policy = tlog::Hash::digest(&own);
    let request = AuditRequest {
        syncer,
        ahead: setup.log()?,
        rules: &setup.rules,
        own_policy,
        copy,
        is_mirror: args.mirror.is_some(),
        watch: plan.watch.clone(),
        other_road: &setup.cache,
        places: std::iter::once(Place::Witnesses).chain(places(setup, &args.compare)).collect(),
    };
    crate::audit::run(request, &plan)
}

/// Prints a report as it was asked for, and gives its exit status.
///
/// # Errors
/// If it cannot be printed.
pub fn print(report: &Report, output: OutputArgs) -> Result<u8, Failure> {
    if output.quiet && !report.is_news() {
        return Ok(report.status());
    }
    let text = render::render(report, output.format(), output.verbose);
    write_out(&text)?;
    Ok(report.status())
}

/// Writes to standard output.
///
/// # Errors
/// If that fails for another reason than that nobody reads.
pub fn write_out(text: &str) -> Result<(), Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        // Whoever closed the pipe has read enough; the status still tells.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::Other(error.into())),
        _ => Ok(()),
    }
}

/// How long an address may take to give a bundle.
const FETCH_TIME: std::time::Duration = std::time::Duration::from_secs(300);
/// The largest bundle that is read into memory.
const MAX_BUNDLE: u64 = 4 << 30;
