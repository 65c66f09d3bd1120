//! torchwood's litewitness, its keys in an ssh-agent, and litebastion.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tlog::VerifierKey;

use crate::ours;
use crate::root::{Peer, Root, free_address};

/// Its name.
pub const NAME: &str = "lite.example/witness";

/// An ssh-agent with one new Ed25519 key; ended when dropped.
pub struct Agent {
    child: Child,
    /// The key, raw.
    pub public: Vec<u8>,
    /// `SHA256:…`, as ssh shows it.
    pub fingerprint: String,
}

impl Agent {
    /// Starts one whose socket is `/mnt/run/agent`.
    pub fn start(root: &Root) -> anyhow::Result<Self> {
        let (key, socket) = (root.at("agent-key"), root.at("agent"));
        succeed(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "interop", "-f"]).arg(&key))?;
        let child = Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn()?;
        e2e::wait_until(|| socket.exists());
        succeed(Command::new("ssh-add").arg("-q").arg(&key).env("SSH_AUTH_SOCK", &socket))?;
        let public = std::fs::read_to_string(key.with_extension("pub"))?;
        let blob = STANDARD.decode(public.split(' ').nth(1).context("a public key")?).ok().context("base64")?;
        let shown = succeed(Command::new("ssh-keygen").arg("-l").arg("-f").arg(&key))?;
        let fingerprint = shown.split(' ').nth(1).context("a fingerprint")?.to_owned();
        Ok(Self { child, public: blob[blob.len() - 32..].to_vec(), fingerprint })
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn succeed(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// litewitness with its key, over the logs that it was told of.
pub struct Litewitness {
    _peer: Peer,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its verifier key.
    pub key: VerifierKey,
}

impl Litewitness {
    /// Starts it for one log.
    pub fn start(root: &Root, agent: &Agent, log: &VerifierKey) -> anyhow::Result<Self> {
        let database = "/mnt/run/lite.db";
        watch(root, database, log)?;
        let address = free_address()?;
        let listen = address.to_string();
        let arguments =
            ["litewitness", "-db", database, "-name", NAME, "-key", &agent.fingerprint, "-ssh-agent", "/mnt/run/agent", "-listen", &listen];
        let peer = root.start("litewitness", &arguments, address)?;
        Ok(Self { _peer: peer, address, key: ours::cosigner(NAME, &agent.public)? })
    }

    /// Starts another one, with the same key and no address, behind a bastion that listens already.
    pub fn behind(root: &Root, agent: &Agent, log: &VerifierKey, bastion: SocketAddr) -> anyhow::Result<Peer> {
        let database = "/mnt/run/lite-hidden.db";
        watch(root, database, log)?;
        let address = bastion.to_string();
        let arguments = ["litewitness", "-db", database, "-name", NAME, "-key", &agent.fingerprint, "-ssh-agent", "/mnt/run/agent"];
        root.start("litewitness-hidden", &[&arguments[..], &["-bastion", &address, "-no-listen", "-testcert"]].concat(), bastion)
    }

    /// It lists the log at this size.
    pub fn lists(root: &Root, origin: &str, size: u64) -> anyhow::Result<()> {
        let listed = root.tell(&["witnessctl", "list-logs", "-db", "/mnt/run/lite.db"])?;
        let logs = listed.lines().map(serde_json::from_str).collect::<Result<Vec<serde_json::Value>, _>>()?;
        let log = logs.iter().find(|log| log["origin"] == origin).context("the log is not listed")?;
        ensure!(log["size"] == size, "it lists size {} and not {size}", log["size"]);
        Ok(())
    }
}

/// Has a new database watch the log.
fn watch(root: &Root, database: &str, log: &VerifierKey) -> anyhow::Result<()> {
    let origin = log.name().as_str();
    root.tell(&["witnessctl", "add-log", "-db", database, "-origin", origin])?;
    root.tell(&["witnessctl", "add-key", "-db", database, "-origin", origin, "-key", &log.encode()]).map(drop)
}

/// How long is waited for what a peer does by itself.
pub const PATIENCE: Duration = Duration::from_secs(30);
