//! Our side: a log, a witness, and what is asked of them.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use client::http::Method;
use client::witness::{AddAnswer, WitnessClient};
use client::{Http, LogClient, block_on};
use e2e::program::{Program, run, wait_until};
use tlog::plan::ConsistencyPlan;
use tlog::witness::AddCheckpoint;
use tlog::{ConsistencyProof, KeyKind, SignedCheckpoint, VerifierKey, cosignature};

/// The name of our log.
pub const ORIGIN: &str = "example.com/tallystick";
/// The name of our witness.
pub const WITNESS: &str = "tally.example/witness";

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Runs an `init` of ours and reads the verifier keys that it prints.
pub fn init(program: &str, dir: &Path, arguments: &[&str]) -> anyhow::Result<Vec<VerifierKey>> {
    let dir = dir.to_str().context("a path that is text")?;
    let output = run(program, ["init", "--dir", dir].iter().chain(arguments));
    ensure!(output.status.success(), "{program} init: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    text.lines().map(|line| VerifierKey::parse(line).map_err(|error| anyhow::anyhow!("{error:?}"))).collect()
}

/// Our witness over a list of logs; the list names each key in a block of its own, with the origin where that differs.
pub fn witness(dir: &Path, logs: &[(&str, VerifierKey)]) -> anyhow::Result<Program> {
    cosigner_over("serve", dir, logs)
}

/// The same as a witness (`serve`) or as a mirror.
pub fn cosigner_over(role: &str, dir: &Path, logs: &[(&str, VerifierKey)]) -> anyhow::Result<Program> {
    let block = |(origin, key): &(&str, VerifierKey)| {
        let origin = if *origin == key.name().as_str() { String::new() } else { format!("origin {origin}\n") };
        format!("\nvkey {}\n{origin}qpd 86400\ncontact interop@example.org\n", key.encode())
    };
    let list = dir.join("logs");
    fs::write(&list, format!("logs/v0\n{}", logs.iter().map(block).collect::<String>()))?;
    let text = |path: &Path| path.to_str().map(str::to_owned).context("a path that is text");
    let arguments = [role, "--dir", &text(dir)?, "--listen", "127.0.0.1:0", "--logs", &text(&list)?].map(str::to_owned);
    Ok(Program::start("tally-witness", arguments, &dir.with_extension("stderr"))?)
}

/// Our log over a policy.
pub fn log(dir: &Path, policy: &str) -> anyhow::Result<Program> {
    let file = dir.with_extension("policy");
    fs::write(&file, policy)?;
    let text = |path: &Path| path.to_str().map(str::to_owned).context("a path that is text");
    let arguments = ["serve", "--dir", &text(dir)?, "--listen", "127.0.0.1:0", "--policy", &text(&file)?].map(str::to_owned);
    let program = Program::start("tally-log", arguments, &dir.with_extension("stderr"))?;
    let http = Http::new(&program.url(), TIMEOUT)?;
    wait_until(|| matches!(block_on(http.get("healthz", 4096)), Ok(Ok(_))));
    Ok(program)
}

/// Adds a leaf to our open log and returns its index, once it is published.
pub fn add(log: &str, leaf: Vec<u8>) -> anyhow::Result<u64> {
    let http = Http::new(log, Duration::from_secs(60))?;
    let answer = block_on(http.send("add", http.request(Method::POST, "add").body(leaf), 64))??;
    Ok(String::from_utf8(answer.body)?.trim().parse()?)
}

/// GETs a file of a server.
pub fn get(url: &str, path: &str) -> anyhow::Result<Vec<u8>> {
    Ok(block_on(Http::new(url, TIMEOUT)?.get(path, 16 << 20))??.body)
}

/// The newest checkpoint of a log.
pub fn checkpoint(url: &str) -> anyhow::Result<SignedCheckpoint> {
    Ok(block_on(LogClient::new(url)?.checkpoint())??)
}

/// The cosignature by this key on a checkpoint verifies, and is not older than a quarter of an hour.
pub fn cosigned(signed: &SignedCheckpoint, key: &VerifierKey) -> anyhow::Result<()> {
    let line = signed.note.lines.iter().find(|line| line.is_by(key)).with_context(|| format!("no line by {}", key.encode()))?;
    let time = cosignature::verify(key, line, &signed.checkpoint).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    ensure!(time.abs_diff(now) < 900, "it states the time {time}, and now is {now}");
    Ok(())
}

/// Brings a witness from what it has to the log's newest checkpoint, as a feeder does; returns that with the witness's lines.
pub fn feed(witness: &str, log: &str) -> anyhow::Result<SignedCheckpoint> {
    let (witness, log) = (WitnessClient::new(witness, TIMEOUT)?, LogClient::new(log)?);
    let mut newest = block_on(log.checkpoint())??;
    let tree = newest.checkpoint.tree;
    let old = block_on(witness.newest(&newest.checkpoint.origin))??.map_or(0, |old| old.checkpoint.tree.size);
    let plan = ConsistencyPlan::new(old, &tree).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let tiles = block_on(log.tiles(plan.tiles()))??;
    let (_, proof) = plan.finish(&tiles).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let proof = if old == 0 { ConsistencyProof(Vec::new()) } else { proof };
    match block_on(witness.add_checkpoint(&AddCheckpoint { old_size: old, proof, checkpoint: newest.note.clone() }))?? {
        AddAnswer::Cosigned(lines) => newest.note.lines.extend(lines),
        AddAnswer::OtherSize(size) => anyhow::bail!("the witness has size {size}, not {old}"),
    }
    Ok(newest)
}

/// A policy over one log in which every witness must cosign; those with the same name count once.
pub fn policy(log: &[VerifierKey], witnesses: &[(&str, &[VerifierKey], &str)]) -> String {
    let mut text: String = log.iter().map(|key| format!("log {}\n", key.encode())).collect();
    for (name, keys, url) in witnesses {
        let lines = keys.iter().enumerate().map(|(n, key)| format!("witness {name}-{n} {} {url}\n", key.encode()));
        text.push_str(&lines.collect::<String>());
        let members: String = (0..keys.len()).map(|n| format!(" {name}-{n}")).collect();
        text.push_str(&format!("group {name} any{members}\n"));
    }
    let names: String = witnesses.iter().map(|(name, ..)| format!(" {name}")).collect();
    text.push_str(&format!("group everybody all{names}\nquorum everybody\n"));
    text
}

/// A verifier key of a peer from its raw Ed25519 public key.
pub fn cosigner(name: &str, public: &[u8]) -> anyhow::Result<VerifierKey> {
    let name = tlog::KeyName::parse(name).context("a key name")?;
    VerifierKey::new(name, KeyKind::CosignatureV1, public).map_err(|error| anyhow::anyhow!("{error:?}"))
}

/// `http://` and an address.
pub fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}
