//! Sunlight: its witness and its log, in one process as it is made to run.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use client::http::Method;
use client::{Http, block_on};
use tlog::VerifierKey;

use crate::root::{Peer, Root, free_address};

/// The witness's name.
pub const WITNESS: &str = "sun.example/witness";
/// The log's origin: its submission prefix without the scheme.
pub const ORIGIN: &str = "127.0.0.1/log";

/// A running Sunlight.
pub struct Sunlight {
    _peer: Peer,
    address: SocketAddr,
    /// The key of its witness.
    pub witness: VerifierKey,
    /// The key of its log.
    pub log: VerifierKey,
}

impl Sunlight {
    /// Starts it; its witness takes its logs from `list`, an address.
    pub fn start(root: &Root, list: &str, files: &str) -> anyhow::Result<Self> {
        for (n, name) in ["witness.seed", "log.seed"].into_iter().enumerate() {
            fs::write(root.at(name), [n as u8 + 1; 32])?;
        }
        database(root)?;
        authority(root)?;
        let address = free_address()?;
        fs::write(root.at("sunlight.yaml"), configuration(address, list, files)?)?;
        let witness = vkey(&root.tell(&["sunlight-keygen", "-f", "witness.seed", "-witness", WITNESS])?)?;
        let log = vkey(&root.tell(&["sunlight-keygen", "-f", "log.seed", "-prefix", &format!("https://{ORIGIN}")])?)?;
        let peer = root.start("sunlight", &["sunlight", "-c", "sunlight.yaml"], address)?;
        Ok(Self { _peer: peer, address, witness, log })
    }

    /// The witness's submission prefix.
    pub fn witness_url(&self) -> String {
        format!("http://{}/witness", self.address)
    }

    /// Has a new certificate logged.
    pub fn add(&self, root: &Root, n: usize) -> anyhow::Result<()> {
        let leaf = certificate(root, n)?;
        let chain = [leaf, pem(&fs::read_to_string(root.at("ca.pem"))?)?].map(|der| STANDARD.encode(der));
        let http = Http::new(&format!("http://{}/log", self.address), std::time::Duration::from_secs(30))?;
        let body = serde_json::json!({ "chain": chain }).to_string();
        block_on(http.send("ct/v1/add-chain", http.request(Method::POST, "ct/v1/add-chain").body(body), 65536))??;
        Ok(())
    }
}

fn configuration(address: SocketAddr, list: &str, files: &str) -> anyhow::Result<String> {
    let day = |offset: &str| -> anyhow::Result<String> {
        let output = Command::new("date").args(["-u", "-d", offset, "+%Y-%m-%d"]).output()?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    };
    let (today, begin, end) = (day("today")?, day("-30 days")?, day("+400 days")?);
    Ok(format!(
        "listen: [\"{address}\"]
checkpoints: /mnt/run/checkpoints.db
witness:
  name: {WITNESS}
  submissionprefix: https://127.0.0.1/witness
  secret: /mnt/run/witness.seed
  loglists: [\"{list}\"]
logs:
  - shortname: interop
    inception: {today}
    period: 200
    poolsize: 100
    submissionprefix: https://{ORIGIN}
    monitoringprefix: {files}/ct
    roots: /mnt/run/ca.pem
    secret: /mnt/run/log.seed
    cache: /mnt/run/ct-cache.db
    localdirectory: /mnt/run/ct
    notafterstart: {begin}T00:00:00Z
    notafterlimit: {end}T00:00:00Z
"
    ))
}

/// The last word of a line that ends in a verifier key.
fn vkey(printed: &str) -> anyhow::Result<VerifierKey> {
    let mut keys = printed.split_whitespace().filter_map(|word| VerifierKey::parse(word).ok());
    keys.next_back().with_context(|| format!("a verifier key in {printed:?}"))
}

/// The lock that Sunlight wants to be there already.
fn database(root: &Root) -> anyhow::Result<()> {
    let table = "CREATE TABLE checkpoints (logID BLOB PRIMARY KEY, body BLOB NOT NULL) STRICT";
    let script = "import sqlite3,sys; sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).connection.commit()";
    succeed(Command::new("python3").args(["-c", script]).arg(root.at("checkpoints.db")).arg(table))
}

fn authority(root: &Root) -> anyhow::Result<()> {
    let (key, certificate) = (root.at("ca.key"), root.at("ca.pem"));
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "365",
        "-subj",
        "/CN=interop",
    ]);
    succeed(openssl.arg("-keyout").arg(key).arg("-out").arg(certificate))
}

/// A server's certificate by the authority, in DER.
fn certificate(root: &Root, n: usize) -> anyhow::Result<Vec<u8>> {
    let (request, signed) = (root.at("leaf.csr"), root.at("leaf.pem"));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", &format!("/CN=n{n}.example")]);
    openssl.args(["-addext", &format!("subjectAltName=DNS:n{n}.example"), "-addext", "extendedKeyUsage=serverAuth"]);
    succeed(openssl.arg("-keyout").arg(root.at("leaf.key")).arg("-out").arg(&request))?;
    let mut openssl = Command::new("openssl");
    openssl.args(["x509", "-req", "-days", "90", "-copy_extensions", "copy"]).arg("-in").arg(request);
    succeed(openssl.arg("-CA").arg(root.at("ca.pem")).arg("-CAkey").arg(root.at("ca.key")).arg("-out").arg(&signed))?;
    pem(&fs::read_to_string(signed)?)
}

fn pem(text: &str) -> anyhow::Result<Vec<u8>> {
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(body).ok().context("base64")
}

fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
