//! Bastions: theirs carries our witness, ours carries theirs.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};
use client::keys;
use e2e::Program;
use e2e::program::path;
use tlog::note::SignatureLine;
use tlog::witness::AddCheckpoint;
use tlog::{ConsistencyProof, Hash, VerifierKey};

use crate::cases::Cases;
use crate::litewitness::{self, Litewitness};
use crate::ours;
use crate::root::{Root, free_address};
use crate::witnessing::own_lines;
use crate::world::World;

/// litebastion with our witness behind it, and our bastion with litewitness behind it.
pub fn both_ways(world: &World<'_>, cases: &mut Cases) {
    let made = certificates(world.root);
    cases.case("litebastion", "carries our witness, which cosigns our log", made.and_then(|()| theirs(world)));
    cases.case("litewitness", "is carried by our bastion, and cosigns our log", carried(world));
}

/// An authority and a certificate for 127.0.0.1; litewitness looks for the authority in `rootCA.pem`.
fn certificates(root: &Root) -> anyhow::Result<()> {
    let at = |name: &str| root.at(name).to_string_lossy().into_owned();
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        anyhow::Ok(())
    };
    let (ca, ca_key, cert, key, request) = (at("rootCA.pem"), at("rootCA.key"), at("bastion.pem"), at("bastion.key"), at("bastion.csr"));
    let new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    openssl(&[&new[..], &["-x509", "-days", "2", "-subj", "/CN=authority", "-keyout", &ca_key, "-out", &ca]].concat())?;
    let named = ["-subj", "/CN=bastion", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", &key, "-out", &request];
    openssl(&[&new[..], &named[..]].concat())?;
    openssl(&["x509", "-req", "-days", "2", "-copy_extensions", "copy", "-CA", &ca, "-CAkey", &ca_key, "-in", &request, "-out", &cert])
}

/// A witness of ours without an address; killed when dropped.
struct Hidden(Child);

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn theirs(world: &World<'_>) -> anyhow::Result<()> {
    let (root, address) = (world.root, free_address()?);
    let directory = root.at("hidden");
    let keys = ours::init("tally-witness", &directory, &["--name", "hidden.example/witness"])?;
    let list: String = world.log_keys.iter().map(|key| format!("\nvkey {}\nqpd 86400\ncontact x\n", key.encode())).collect();
    fs::write(directory.join("logs"), format!("logs/v0\n{list}"))?;
    let mut serve = Command::new(path("tally-witness"));
    serve.args(["serve", "--bastion", &address.to_string()]).arg("--dir").arg(&directory).arg("--logs").arg(directory.join("logs"));
    serve.arg("--bastion-ca").arg(root.at("rootCA.pem")).stdout(Stdio::null()).stderr(Stdio::null());
    let _hidden = Hidden(serve.spawn()?);
    let key = directory.join("keys/bastion");
    e2e::wait_until(|| key.exists() && keys::load(&key).is_ok());
    let hash = Hash::digest(keys::load(&key)?.key().public());
    fs::write(root.at("backends"), format!("{hash}\n"))?;
    let listen = address.to_string();
    let arguments = ["litebastion", "-listen", &listen, "-tls-cert", "bastion.pem", "-tls-key", "bastion.key", "-backends", "backends"];
    let _litebastion = root.start("litebastion", &arguments, address)?;
    cosigns(world, &format!("https://{address}/{hash}"), &keys[0])
}

fn carried(world: &World<'_>) -> anyhow::Result<()> {
    let root = world.root;
    let hash = Hash::digest(&world.agent.public);
    fs::write(root.at("our-backends"), format!("{hash}\n"))?;
    let file = |name: &str| root.at(name).to_string_lossy().into_owned();
    let mut permissions = fs::metadata(root.at("bastion.key"))?.permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o600);
    fs::set_permissions(root.at("bastion.key"), permissions)?;
    let (cert, key, backends) = (file("bastion.pem"), file("bastion.key"), file("our-backends"));
    let arguments = ["bastion", "--listen", "127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key, "--backends", &backends];
    let bastion = Program::start("tally-witness", arguments, &root.at("our-bastion.stderr"))?;
    let _litewitness = Litewitness::behind(root, &world.agent, &world.log_keys[0], bastion.address())?;
    let key = ours::cosigner(litewitness::NAME, &world.agent.public)?;
    cosigns(world, &format!("https://{}/{hash}", bastion.address()), &key)
}

/// The witness at this prefix cosigns our log's published checkpoint, from nothing.
fn cosigns(world: &World<'_>, prefix: &str, key: &VerifierKey) -> anyhow::Result<()> {
    let mut published = own_lines(ours::checkpoint(&world.log.url())?, &world.log_keys);
    let request = AddCheckpoint { old_size: 0, proof: ConsistencyProof(Vec::new()), checkpoint: published.note.clone() };
    fs::write(world.root.at("request"), request.encode())?;
    let mut answer = (String::new(), String::new());
    // The backend dials by itself, and tries again after a pause.
    e2e::wait_until(|| {
        answer = curl(world.root, &format!("{prefix}/add-checkpoint")).unwrap_or_default();
        answer.0 != "503" && !answer.0.is_empty() && answer.0 != "502" && answer.0 != "000"
    });
    ensure!(answer.0 == "200", "status {}: {}", answer.0, answer.1);
    for line in answer.1.lines() {
        published.note.lines.push(SignatureLine::parse(line).ok().context("a signature line")?);
    }
    ours::cosigned(&published, key)
}

/// Status and body, with trust in the run's own authority alone.
fn curl(root: &Root, url: &str) -> anyhow::Result<(String, String)> {
    let answer = root.at("answer");
    let data = format!("@{}", root.at("request").display());
    let mut curl = Command::new("curl");
    curl.args(["-s", "-m", "20", "-w", "%{http_code}", "--data-binary", &data, "-H", "Content-Type: text/plain", "--cacert"]);
    let output = curl.arg(root.at("rootCA.pem")).arg("-o").arg(&answer).arg(url).output()?;
    Ok((String::from_utf8(output.stdout)?, read(&answer)))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
