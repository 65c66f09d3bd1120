//! A witness behind a bastion, both as programs: what passes, who is turned away, and that a lost connection comes back.

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::certificate::certificate;
use support::{ORIGIN, TestLog};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tally-witness");

/// A program of ours, killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

struct Setup {
    dir: tempfile::TempDir,
    log: TestLog,
}

impl Setup {
    fn new() -> Self {
        let (dir, log) = (tempfile::tempdir().unwrap(), TestLog::new(ORIGIN));
        certificate(dir.path());
        let keys: String = log.keys().iter().map(|key| format!("\nvkey {}\nqpd 100\ncontact x\n", key.encode())).collect();
        fs::write(dir.path().join("logs"), format!("logs/v0\n{keys}")).unwrap();
        fs::write(dir.path().join("backends"), "# nobody yet\n").unwrap();
        let setup = Self { dir, log };
        let made = Command::new(PROGRAM).args(["init", "--dir", text(&setup.path("w")), "--name", "w.example"]).output().unwrap();
        assert!(made.status.success());
        setup
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// The bastion and its address.
    fn bastion(&self, listen: &str) -> (Running, String) {
        let mut command = Command::new(PROGRAM);
        command.args(["bastion", "--listen", listen, "--tls-cert", text(&self.path("cert.pem")), "--tls-key", text(&self.path("key.pem"))]);
        command.args(["--backends", text(&self.path("backends"))]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let address = first.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("{first:?}")).to_owned();
        (Running(child), address)
    }

    /// The witness, which listens nowhere.
    fn witness(&self, bastion: &str) -> Running {
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--dir", text(&self.path("w")), "--logs", text(&self.path("logs")), "--bastion", bastion]);
        command.args(["--bastion-ca", text(&self.path("ca.pem"))]);
        let stderr = fs::File::options().create(true).append(true).open(self.path("stderr")).unwrap();
        Running(command.stdout(Stdio::null()).stderr(stderr).spawn().unwrap())
    }

    /// The submission prefix that the witness announces.
    fn prefix(&self) -> String {
        let said = wait(|| Some(fs::read_to_string(self.path("stderr")).unwrap()).filter(|said| said.contains("url=")));
        let url = said.split("url=").nth(1).unwrap();
        url.trim_start_matches('"').chars().take_while(|c| !c.is_whitespace() && *c != '"' && *c != '\u{1b}').collect()
    }

    fn client(&self) -> Client {
        let root = reqwest::Certificate::from_pem(&fs::read(self.path("ca.pem")).unwrap()).unwrap();
        let http = reqwest::Client::builder().tls_certs_only([root]).timeout(Duration::from_secs(30)).build().unwrap();
        Client { http, runtime: tokio::runtime::Runtime::new().unwrap() }
    }
}

/// Trusts the bastion's certificate alone.
struct Client {
    http: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

/// Status, content type and body.
type Answer = (u16, String, String);

impl Client {
    fn send(&self, request: reqwest::RequestBuilder) -> Option<Answer> {
        self.runtime.block_on(async {
            let answer = request.send().await.ok()?;
            let kind = answer.headers().get("content-type").map_or("", |kind| kind.to_str().unwrap()).to_owned();
            Some((answer.status().as_u16(), kind, answer.text().await.ok()?))
        })
    }

    /// 0 where nobody answers.
    fn status(&self, url: &str) -> u16 {
        self.send(self.http.get(url)).map_or(0, |(status, ..)| status)
    }

    fn post(&self, url: &str, body: impl Into<reqwest::Body>) -> Answer {
        self.send(self.http.post(url).body(body)).expect("an answer")
    }
}

/// What becomes of it within a minute.
fn wait<T>(mut tried: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = tried() {
            return value;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "it did not happen within a minute");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_witness_without_an_address_cosigns_through_a_bastion() {
    let setup = Setup::new();
    let (bastion, address) = setup.bastion("127.0.0.1:0");
    let witness = setup.witness(&address);
    let (prefix, http) = (setup.prefix(), setup.client());
    let status = |path: &str| http.status(&format!("{prefix}/{path}"));

    // Not on the list: the witness is turned away, and nobody can ask for it.
    assert_eq!(status("healthz"), 421);
    let hash = prefix.rsplit('/').next().unwrap();
    fs::write(setup.path("backends"), format!("{hash}\n")).unwrap();
    let reload = |bastion: &Running| Command::new("kill").args(["-HUP", &bastion.0.id().to_string()]).status().unwrap();
    assert!(reload(&bastion).success());
    wait(|| (status("healthz") == 200).then_some(()));

    // A witness's answers are the same through the bastion.
    let submission = format!("{prefix}/add-checkpoint");
    let body = setup.log.request(0, 5);
    let (cosigned, _, lines) = http.post(&submission, body.clone());
    assert_eq!((cosigned, lines.lines().count()), (200, 2), "{lines}");
    assert_eq!(http.post(&submission, body), (409, "text/x.tlog.size".to_owned(), "5\n".to_owned()));
    assert_eq!(http.post(&submission, vec![b'x'; 300 << 10]).0, 413);
    assert_eq!(http.status(&format!("{}/healthz", prefix.replace(hash, "x"))), 404);

    // Without the witness 503, and with it again.
    drop(witness);
    wait(|| (status("healthz") == 503).then_some(()));
    let witness = setup.witness(&address);
    wait(|| (status("healthz") == 200).then_some(()));

    // The bastion goes and comes back at its address: the witness finds it again by itself.
    drop(bastion);
    assert_eq!(status("healthz"), 0);
    let (bastion, _) = setup.bastion(&address);
    wait(|| (status("healthz") == 200).then_some(()));

    // Off the list, it loses the connection that it has.
    fs::write(setup.path("backends"), "# nobody\n").unwrap();
    assert!(reload(&bastion).success());
    wait(|| (status("healthz") == 421).then_some(()));
    drop(witness);
}

#[test]
fn what_cannot_work_says_what_to_do() {
    let setup = Setup::new();
    let refused = |arguments: &[&str]| {
        let output = Command::new(PROGRAM).args(arguments).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let (w, logs, cert) = (setup.path("w"), setup.path("logs"), setup.path("cert.pem"));
    let serve = ["serve", "--dir", text(&w), "--logs", text(&logs)];
    assert!(refused(&serve).contains("--listen"));
    let no_port = refused(&[&serve[..], &["--bastion", "bastion.example", "--bastion-ca", text(&cert)]].concat());
    assert!(no_port.contains("give host and port"), "{no_port}");
    let no_certificate = refused(&[&serve[..], &["--bastion", "127.0.0.1:1", "--bastion-ca", text(&logs)]].concat());
    assert!(no_certificate.contains("give certificates in PEM"), "{no_certificate}");
    let (key, backends) = (setup.path("key.pem"), setup.path("backends"));
    let bastion = |key: &Path| {
        let arguments =
            ["bastion", "--listen", "127.0.0.1:0", "--tls-cert", text(&cert), "--tls-key", text(key), "--backends", text(&backends)];
        refused(&arguments)
    };
    fs::write(&backends, "xyz\n").unwrap();
    assert!(bastion(&key).contains("line 1 is no key hash"));
    Command::new("chmod").args(["640", text(&key)]).status().unwrap();
    assert!(bastion(&key).contains("chmod 600"));
}
