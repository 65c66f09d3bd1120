//! A witness whose Ed25519 key is in a real ssh-agent.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use client::keys;
use tlog::{KeyKind, VerifierKey};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tally-witness");

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn succeed(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// An agent with one Ed25519 and one RSA key; ended when dropped.
struct Agent {
    dir: tempfile::TempDir,
    child: Child,
}

impl Agent {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("agent");
        let child = Command::new("ssh-agent").args(["-D", "-a", text(&socket)]).stdout(Stdio::null()).spawn().expect("ssh-agent");
        let agent = Self { dir, child };
        let started = std::time::Instant::now();
        while !socket.exists() {
            assert!(started.elapsed().as_secs() < 60, "the agent does not start");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        for kind in ["rsa", "ed25519"] {
            succeed(Command::new("ssh-keygen").args(["-q", "-t", kind, "-N", "", "-C", kind, "-f", text(&agent.path(kind))]));
            agent.add(kind);
        }
        agent
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn add(&self, kind: &str) {
        succeed(Command::new("ssh-add").args(["-q", text(&self.path(kind))]).env("SSH_AUTH_SOCK", self.path("agent")));
    }

    fn fingerprint(&self, kind: &str) -> String {
        let shown = succeed(Command::new("ssh-keygen").args(["-l", "-f", text(&self.path(kind))]));
        shown.split(' ').nth(1).unwrap().to_owned()
    }

    fn init(&self, fingerprint: &str) -> Output {
        let (dir, socket) = (self.path("w"), self.path("agent"));
        let key = format!("ssh-agent:{}?key={fingerprint}", text(&socket));
        Command::new(PROGRAM).args(["init", "--dir", text(&dir), "--name", "w.example", "--key", &key]).output().unwrap()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_agents_key_signs_and_never_leaves_it() {
    let agent = Agent::start();
    let made = agent.init(&agent.fingerprint("ed25519"));
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let printed = String::from_utf8(made.stdout).unwrap();
    let key = VerifierKey::parse(printed.lines().next().unwrap()).unwrap();
    assert_eq!(key.kind(), KeyKind::CosignatureV1);
    let file = agent.path("w/keys/cosignature");
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("ssh-agent:{}\n{}\n", agent.path("agent").display(), key.encode()));
    let signer = keys::load(&file).unwrap();
    let signature = signer.sign(b"message").unwrap();
    assert!(key.verify(b"message", &signature) && !key.verify(b"massage", &signature));

    // Without the key the agent signs nothing, and the program does not start; with it again all is well.
    succeed(Command::new("ssh-add").args(["-q", "-D"]).env("SSH_AUTH_SOCK", agent.path("agent")));
    assert!(signer.sign(b"message").is_err());
    let refused = keys::load(&file).err().unwrap().to_string();
    assert!(refused.contains("add it with ssh-add"), "{refused}");
    agent.add("ed25519");
    assert!(signer.sign(b"message").is_ok());
    assert!(keys::load(&file).is_ok());
}

#[test]
fn what_an_agent_cannot_give_is_refused() {
    let agent = Agent::start();
    let rsa = agent.init(&agent.fingerprint("rsa"));
    assert!(!rsa.status.success());
    let said = String::from_utf8_lossy(&rsa.stderr).into_owned();
    assert!(said.contains("has no Ed25519 key SHA256:") && said.contains("hint: start the agent"), "{said}");
    let file = agent.path("reference");
    let write = |contents: &str| {
        fs::write(&file, contents).unwrap();
        succeed(Command::new("chmod").args(["600", text(&file)]));
        keys::load(&file).err().unwrap().to_string()
    };
    let subtree = support::own()[1].encode();
    for contents in
        ["ssh-agent:relative\n", &format!("ssh-agent:/x\n{subtree}\n"), &format!("ssh-agent:/x\n{}", support::own()[0].encode())]
    {
        assert!(write(contents).contains("does not hold a private key"), "{contents}");
    }
    let nobody = write(&format!("ssh-agent:/nonexistent\n{}\n", support::own()[0].encode()));
    assert!(nobody.contains("No such file"), "{nobody}");
}
