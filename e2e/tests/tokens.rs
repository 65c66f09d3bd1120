//! Log, witness and builder with their Ed25519 keys in one PKCS#11 token (SoftHSM), as operators set it up: by stock tools and `init --key`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use client::http::Method;
use client::{Http, LogClient, block_on};
use e2e::program::{Program, path, wait_until};
use tlog::{KeyKind, Policy, SignedCheckpoint, VerifierKey};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const PIN: &str = "24681357";

struct Token {
    dir: tempfile::TempDir,
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

impl Token {
    fn new() -> Self {
        let token = Self { dir: tempfile::tempdir().expect("a directory") };
        fs::create_dir(token.at("tokens")).expect("made");
        fs::write(token.at("softhsm2.conf"), format!("directories.tokendir = {}\n", token.at("tokens").display())).expect("written");
        token.tool("softhsm2-util", &["--init-token", "--free", "--label", "tally", "--pin", PIN, "--so-pin", "13572468"]);
        for (id, label) in [("01", "log"), ("02", "witness"), ("03", "builder")] {
            let opened = ["--module", MODULE, "--token-label", "tally", "--login", "--pin", PIN];
            token.tool(
                "pkcs11-tool",
                &[&opened[..], &["--keypairgen", "--key-type", "EC:edwards25519", "--label", label, "--id", id]].concat(),
            );
        }
        token.pin(PIN);
        token
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn pin(&self, pin: &str) {
        fs::write(self.at("pin"), format!("{pin}\n")).expect("written");
        fs::set_permissions(self.at("pin"), fs::Permissions::from_mode(0o600)).expect("closed");
    }

    fn environment(&self) -> [(&'static str, String); 1] {
        [("SOFTHSM2_CONF", text(&self.at("softhsm2.conf")).to_owned())]
    }

    fn tool(&self, program: &str, arguments: &[&str]) {
        let output = Command::new(program).args(arguments).envs(self.environment()).output().expect("it runs");
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn uri(&self, object: &str) -> String {
        format!("pkcs11:token=tally;object={object}?module-path={MODULE}&pin-source=file:{}", self.at("pin").display())
    }

    fn try_init(&self, program: &str, arguments: &[&str]) -> Output {
        Command::new(path(program)).arg("init").args(arguments).envs(self.environment()).output().expect("it runs")
    }

    fn init(&self, program: &str, arguments: &[&str]) -> Vec<VerifierKey> {
        let output = self.try_init(program, arguments);
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").lines().map(|key| VerifierKey::parse(key).expect("a key")).collect()
    }

    fn serve(&self, program: &str, arguments: &[&str]) -> Program {
        Program::start_in(program, arguments, &self.at(&format!("{program}.stderr")), &self.environment()).expect("it starts")
    }
}

#[test]
fn log_and_witness_sign_by_their_keys_in_a_token() {
    let token = Token::new();
    let at = |name: &str| text(&token.at(name)).to_owned();
    let log = token.init("tally-log", &["--dir", &at("log"), "--origin", "example.com/log", "--open", "--key", &token.uri("log")]);
    let witness = token.init("tally-witness", &["--dir", &at("w"), "--name", "w.example", "--key", &token.uri("witness")]);
    assert_eq!((log[0].kind(), witness[0].kind()), (KeyKind::Ed25519, KeyKind::CosignatureV1));
    for file in ["log/keys/ed25519", "w/keys/cosignature"] {
        let held = fs::read_to_string(token.at(file)).expect("a key file");
        assert!(held.starts_with("pkcs11:token=tally;") && !held.contains("PRIVATE+KEY") && !held.contains(PIN), "{held}");
    }
    fs::write(
        token.at("logs"),
        format!("logs/v0\n\nvkey {}\nqpd 86400\ncontact x\n\nvkey {}\nqpd 86400\ncontact x\n", log[0].encode(), log[1].encode()),
    )
    .expect("written");
    let witness_server = token.serve("tally-witness", &["serve", "--dir", &at("w"), "--listen", "127.0.0.1:0", "--logs", &at("logs")]);
    // Only the keys in the token are in the policy: what satisfies it was signed there.
    let policy = format!("log {}\nwitness w {} {}\nquorum w\n", log[0].encode(), witness[0].encode(), witness_server.url());
    fs::write(token.at("policy"), &policy).expect("written");
    let log_server = token.serve("tally-log", &["serve", "--dir", &at("log"), "--listen", "127.0.0.1:0", "--policy", &at("policy")]);
    let http = Http::new(&log_server.url(), Duration::from_secs(60)).expect("a URL");
    wait_until(|| matches!(block_on(http.get("healthz", 4096)), Ok(Ok(_))));
    let added = block_on(http.send("add", http.request(Method::POST, "add").body("said"), 64)).expect("a runtime").expect("added");
    assert_eq!(added.body, b"0");
    let published: SignedCheckpoint =
        block_on(LogClient::new(&log_server.url()).expect("a URL").checkpoint()).expect("a runtime").expect("it");
    assert_eq!(published.checkpoint.tree.size, 1);
    Policy::parse(policy.as_bytes()).expect("a policy").verify(&published).expect("signed and cosigned");
    // Arguments and what is logged hold no PIN.
    for server in [&witness_server, &log_server] {
        let arguments = fs::read(format!("/proc/{}/cmdline", server.id())).expect("arguments");
        assert!(!String::from_utf8_lossy(&arguments).contains(PIN) && !server.said().contains(PIN));
    }
}

#[test]
fn a_builders_key_in_a_token_is_taken_or_refused_with_what_to_do() {
    let token = Token::new();
    let at = |name: &str| text(&token.at(name)).to_owned();
    let made = token.init("tally-builder", &["--dir", &at("b"), "--name", "b.example", "--key", &token.uri("builder")]);
    assert_eq!(made[0].kind(), KeyKind::Ed25519);
    assert!(fs::read_to_string(token.at("b/keys/builder.key")).expect("a key file").starts_with("pkcs11:"));
    token.pin("99999999");
    for (program, name) in [("tally-builder", "--name"), ("tally-witness", "--name"), ("tally-log", "--origin")] {
        let refuse = |key: &str, reason: &str| {
            let refused = token.try_init(program, &["--dir", &at(program), name, "x.example", "--key", key]);
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert!(!refused.status.success() && said.contains(reason), "{program} {key}: {said}");
            assert!(!said.contains("99999999"), "{said}");
        };
        refuse(&token.uri("log").replace("token=tally", "token=other"), "no token with the label");
        refuse(&token.uri("log").replace(MODULE, "/nonexistent.so"), "cannot be loaded");
        refuse(&token.uri("log").replace("pin-source=file:", "pin-value="), "does not belong into a URI");
        refuse("ssh-agent:relative", "expected ssh-agent:/path");
        refuse(&at("nonexistent.key"), "No such file");
    }
    let refused = token.try_init("tally-log", &["--dir", &at("l"), "--origin", "x.example", "--key", &token.uri("log")]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("refuses the PIN in"), "{refused:?}");
    token.pin(PIN);
    let missing = token.try_init("tally-log", &["--dir", &at("l"), "--origin", "x.example", "--key", &token.uri("absent")]);
    assert!(String::from_utf8_lossy(&missing.stderr).contains("has no Ed25519 public key"), "{missing:?}");
    // What was refused left nothing in the way.
    token.init("tally-log", &["--dir", &at("l"), "--origin", "x.example", "--key", &token.uri("log")]);
}

#[test]
fn a_log_takes_a_key_that_exists() {
    let token = Token::new();
    let at = |name: &str| text(&token.at(name)).to_owned();
    token.init("tally-log", &["--dir", &at("one"), "--origin", "example.com/log"]);
    let key = at("one/keys/ed25519");
    let another = token.try_init("tally-log", &["--dir", &at("two"), "--origin", "example.com/other", "--key", &key]);
    let said = String::from_utf8_lossy(&another.stderr).into_owned();
    assert!(!another.status.success() && said.contains("is the key of example.com/log"), "{said}");
    let witness = token.try_init("tally-witness", &["--dir", &at("w"), "--name", "example.com/log", "--key", &key]);
    let said = String::from_utf8_lossy(&witness.stderr).into_owned();
    assert!(!witness.status.success() && said.contains("needed is"), "a log's key is no witness's: {said}");
    token.init("tally-log", &["--dir", &at("two"), "--origin", "example.com/log", "--key", &key]);
    assert_eq!(fs::read(at("two/keys/ed25519")).expect("a key"), fs::read(&key).expect("a key"));
    assert_eq!(fs::metadata(at("two/keys/ed25519")).expect("it").permissions().mode() & 0o777, 0o600);
}
