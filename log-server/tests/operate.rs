//! What an operator does (`specs/operate.md`): freezing, restoring, another witness policy, the service unit.

mod kit;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use kit::served::{Served, builder, claim, manifest, sign};
use kit::{ORIGIN, TestWitness, http_witness};
use tally_log::clock::{Clock as _, ManualClock, SystemClock};
use tally_log::fsck::{DirectorySource, check};
use tally_log::init;
use tlog::{Policy, SignedCheckpoint, VerifierKey};

fn tally_log(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tally-log")).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

async fn get(served: &Served, path: &str) -> (u16, String) {
    let answer = reqwest::get(served.path(path)).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn post(served: &Served, path: &str, body: Vec<u8>) -> (u16, String) {
    let answer = reqwest::Client::new().post(served.path(path)).body(body).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// Uploads a manifest and submits the claim of it.
async fn add(served: &Served, name: &str) {
    let text = manifest(name);
    served.client().put_manifest(ORIGIN, &text.root(), text.encode(), &builder()).await.unwrap();
    served.client().submit(sign(&claim(name), &builder()), Duration::from_secs(30)).await.unwrap();
}

/// Runs the program off the threads that serve.
async fn run(arguments: Vec<String>) -> Output {
    tokio::task::spawn_blocking(move || tally_log(&arguments.iter().map(String::as_str).collect::<Vec<_>>())).await.unwrap()
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_log_is_read_only_for_good() {
    let mut served = Served::start(false).await;
    add(&served, "jq").await;
    let freeze = |reason: &str| {
        let dir = text(&served.log_dir());
        let successor = "example.com/next".to_owned();
        run(vec!["freeze".into(), "--dir".into(), dir, "--reason".into(), reason.into(), "--successor".into(), successor])
    };
    let output = freeze("rotated").await;
    assert!(!output.status.success() && said(&output).contains("another server runs"), "{}", said(&output));
    assert_eq!(get(&served, "frozen").await.0, 404);
    let last = get(&served, "checkpoint").await.1;
    let dir = text(&served.log_dir());
    served.stop().await;
    let freeze =
        |reason: &str| run(["freeze", "--dir", &dir, "--reason", reason, "--successor", "example.com/next"].map(str::to_owned).into());
    let output = freeze("two\nlines").await;
    assert!(!output.status.success() && said(&output).contains("one line"), "{}", said(&output));
    let output = freeze("rotated").await;
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout), last, "the last checkpoint");
    assert!(freeze("rotated").await.status.success(), "the same again is fine");
    let output = freeze("for another reason").await;
    assert!(!output.status.success() && said(&output).contains("frozen already"), "{}", said(&output));
    for _ in 0..2 {
        served.serve().await.unwrap();
        let reason = "this log is frozen at size 2: rotated; submit to example.com/next\n";
        let text = manifest("sl");
        for (path, body) in [("entries", sign(&claim("jq"), &builder())), ("entries/batch", sign(&claim("jq"), &builder()))] {
            assert_eq!(post(&served, path, body).await, (410, reason.to_owned()), "{path}");
        }
        let refused = served.client().put_manifest(ORIGIN, &text.root(), text.encode(), &builder()).await.unwrap_err();
        assert_eq!(refused.status(), Some(410));
        assert_eq!(get(&served, "checkpoint").await, (200, last.clone()));
        assert_eq!(get(&served, "healthz").await, (200, "ok, frozen\n".to_owned()));
        assert!(get(&served, "metrics").await.1.contains("tally_log_frozen 1\n"));
        let told = get(&served, "frozen").await.1;
        assert!(told.contains("size = 2\n") && told.contains("successor = \"example.com/next\"\n"), "{told}");
        served.stop().await;
    }
    // A directory that is not the one that was frozen, and a notice that nobody can read.
    let notice = served.log_dir().join("public/frozen");
    let written = std::fs::read_to_string(&notice).unwrap();
    for (damaged, expected) in [(written.replace("size = 2", "size = 3"), "this directory has size 2"), ("no notice".to_owned(), "damaged")]
    {
        std::fs::write(&notice, damaged).unwrap();
        let error = format!("{:#}", served.serve().await.unwrap_err());
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_published_cannot_be_frozen() {
    let served = Served::made(true, |_| {});
    let output = run(["freeze", "--dir", &text(&served.log_dir()), "--reason", "why not"].map(str::to_owned).into()).await;
    assert!(!output.status.success() && said(&output).contains("not published yet"), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_restored_from_its_directory_or_from_a_mirror() {
    let mut served = Served::start(false).await;
    for name in ["jq", "sl", "attr"] {
        add(&served, name).await;
    }
    let (from, url, root) = (text(&served.log_dir()), served.url.clone(), served.dir.path().to_owned());
    let restore = |name: &str, from: &str, keys: Option<&str>| {
        let mut arguments = ["restore", "--dir", &text(&root.join(name)), "--from", from].map(str::to_owned).to_vec();
        arguments.extend(keys.into_iter().flat_map(|keys| ["--keys".to_owned(), keys.to_owned()]));
        run(arguments)
    };
    let output = restore("no-keys", &url, None).await;
    assert!(!output.status.success() && said(&output).contains("--keys DIR"), "{}", said(&output));
    for (name, from) in [("from-url", &url), ("from-dir", &from)] {
        let output = restore(name, from, Some(&served_keys(&root))).await;
        assert!(output.status.success() && said(&output).contains("restored: size 4 "), "{}", said(&output));
        let output = restore(name, from, Some(&served_keys(&root))).await;
        assert!(!output.status.success() && said(&output).contains("holds a log already"), "{}", said(&output));
    }
    served.stop().await;
    // Damage in the source is named, and nothing becomes a log.
    for (object, what) in [("public/tile/entries/000.p/4", "tile/entries/000.p/4"), ("public/checkpoint", "checkpoint")] {
        let path = Path::new(&from).join(object);
        let whole = std::fs::read(&path).unwrap();
        let mut damaged = whole.clone();
        damaged[whole.len() / 2] ^= 4;
        std::fs::write(&path, damaged).unwrap();
        let output = restore("damaged", &from, None).await;
        let said = said(&output);
        assert!(!output.status.success() && (said.contains(what) || said.contains("entries give the root")), "{said}");
        assert!(!root.join("damaged/log.toml").exists());
        std::fs::write(&path, whole).unwrap();
    }
    // What was read from the damaged source is not mixed with anything else.
    let output = restore("damaged", &from, None).await;
    assert!(!output.status.success() && said(&output).contains("remove this directory"), "{}", said(&output));
    std::fs::remove_dir_all(root.join("damaged")).unwrap();
    // An interrupted restore goes on.
    let named = Path::new(&from).join("public/manifest").join(manifest("sl").root().to_string());
    let whole = std::fs::read(&named).unwrap();
    std::fs::write(&named, "something else").unwrap();
    let output = restore("damaged", &from, None).await;
    assert!(!output.status.success() && said(&output).contains("its root is not its name"), "{}", said(&output));
    std::fs::write(&named, whole).unwrap();
    assert!(restore("damaged", &from, None).await.status.success());
    // Each goes on where the log was.
    for name in ["from-url", "from-dir", "damaged"] {
        let report = check(&DirectorySource::open(&root.join(name)).unwrap(), &served.keys).unwrap();
        assert_eq!((report.tree.size, report.findings.as_slice()), (4, &[][..]), "{name}");
        std::fs::rename(served.log_dir(), root.join(format!("before-{name}"))).unwrap();
        std::fs::rename(root.join(name), served.log_dir()).unwrap();
        served.serve().await.unwrap();
        add(&served, name).await;
        assert_eq!(served.client().checkpoint().await.unwrap().tree().size, 5, "{name}");
        served.stop().await;
    }
}

/// Keys and settings alone, as an operator keeps them apart.
fn served_keys(root: &Path) -> String {
    let apart = root.join("apart");
    std::fs::create_dir_all(&apart).unwrap();
    let copied = Command::new("cp").arg("-a").args([root.join("log/keys"), root.join("log/log.toml")]).arg(&apart).status().unwrap();
    assert!(copied.success());
    text(&apart)
}

fn is_under(policy: &Policy, signed: &SignedCheckpoint) -> bool {
    policy.cosigned(signed).is_ok_and(|cosigned| policy.is_satisfied_by(&|name| cosigned.contains_key(name)))
}

/// The program with a policy that a test may change.
struct Witnessed {
    dir: tempfile::TempDir,
    keys: Vec<VerifierKey>,
    witnesses: Vec<String>,
}

impl Witnessed {
    async fn made() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keys = init::init(&dir.path().join("log"), ORIGIN, true, &SystemClock).unwrap();
        let mut witnesses = Vec::new();
        for n in 0..2_u8 {
            let witness = TestWitness::of_log(&format!("witness-{n}"), 40 + n, Arc::new(SystemClock), &keys);
            let line = witness.line();
            witnesses.push(format!("witness {} {} http://{}\n", line.name, line.key.encode(), http_witness::serve(witness).await));
        }
        Self { dir, keys, witnesses }
    }

    fn policy_file(&self) -> PathBuf {
        self.dir.path().join("policy")
    }

    /// A policy that asks for this witness alone.
    fn asks_for(&self, n: usize) -> String {
        format!("{}quorum witness-{n}\n", self.witnesses[n])
    }

    fn published(&self) -> Option<SignedCheckpoint> {
        SignedCheckpoint::parse(&std::fs::read(self.dir.path().join("log/public/checkpoint")).ok()?).ok()
    }

    /// Whether the published checkpoint satisfies a policy, within ten seconds.
    async fn is_published_under(&self, policy: &str) -> bool {
        let policy = Policy::parse(policy.as_bytes()).unwrap();
        for _ in 0..200 {
            if self.published().is_some_and(|signed| is_under(&policy, &signed)) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        false
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_takes_up_another_policy() {
    let log = Witnessed::made().await;
    std::fs::write(log.policy_file(), log.asks_for(0)).unwrap();
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_tally-log"));
    command.arg("serve").arg("--dir").arg(log.dir.path().join("log")).args(["--listen", "127.0.0.1:0", "--policy"]).arg(log.policy_file());
    let said = std::fs::File::create(log.dir.path().join("said")).unwrap();
    let mut child = command.stdout(std::process::Stdio::piped()).stderr(said).kill_on_drop(true).spawn().unwrap();
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(child.stdout.take().unwrap()));
    let url = format!("http://{}/add", lines.next_line().await.unwrap().unwrap().strip_prefix("listening on ").unwrap());
    let add = || async { reqwest::Client::new().post(&url).body("leaf").send().await.unwrap().status().as_u16() };
    assert_eq!(add().await, 200);
    assert!(log.is_published_under(&log.asks_for(0)).await);
    let hangup = || assert!(Command::new("kill").args(["-HUP", &child.id().unwrap().to_string()]).status().unwrap().success());
    let told = || std::fs::read_to_string(log.dir.path().join("said")).unwrap();
    // What is of no use changes nothing.
    for (useless, why) in [("nonsense\n", "line 1"), ("quorum none\n", "asks for no witnesses")] {
        std::fs::write(log.policy_file(), useless).unwrap();
        hangup();
        for _ in 0..200 {
            if told().contains(why) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(told().contains("the old witness policy stays") && told().contains(why), "{}", told());
        assert_eq!(add().await, 200);
        assert!(log.is_published_under(&log.asks_for(0)).await);
    }
    // The head is cosigned under the new policy without a new entry, and the next ones as well.
    std::fs::write(log.policy_file(), log.asks_for(1)).unwrap();
    hangup();
    assert!(log.is_published_under(&log.asks_for(1)).await, "{}", told());
    assert_eq!(add().await, 200);
    let last = log.published().unwrap();
    last.verify_log(&log.keys).unwrap();
    assert_eq!(last.tree().size, 4);
    assert!(is_under(&Policy::parse(log.asks_for(1).as_bytes()).unwrap(), &last));
    child.kill().await.unwrap();
}

#[test]
fn the_service_unit_is_valid_and_sandboxed() {
    let unit = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/tally-log.service")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tally-log.service");
    // Checked with the program that was just built in the place of the installed one.
    std::fs::write(&file, unit.replace("/usr/bin/tally-log", env!("CARGO_BIN_EXE_tally-log"))).unwrap();
    let analyze = |arguments: &[&str]| Command::new("systemd-analyze").args(arguments).arg(&file).output();
    let Ok(output) = analyze(&["verify"]) else {
        println!("skipped: there is no systemd-analyze here");
        return;
    };
    assert!(output.status.success() && output.stderr.is_empty(), "{}", said(&output));
    let output = analyze(&["security", "--offline=true", "--threshold=20"]).unwrap();
    assert!(output.status.success(), "an exposure above 2.0: {}", said(&output));
    // Its command line is one that the program understands.
    let command = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/tally-log ")).unwrap();
    let output = tally_log(&command.split(' ').collect::<Vec<_>>());
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("/etc/tallystick/witnesses.policy"), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn health_turns_red_while_the_published_checkpoint_is_old() {
    let mut served = Served::made(true, |settings| settings.stale_seconds = 30);
    let witness = TestWitness::of_log("witness-0", 40, Arc::new(SystemClock), &served.keys);
    let line = witness.line();
    let policy =
        format!("witness {} {} http://{}\nquorum {}\n", line.name, line.key.encode(), http_witness::serve(witness).await, line.name);
    served.policy = Policy::parse(policy.as_bytes()).unwrap();
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    served.clock = clock.clone();
    served.serve().await.unwrap();
    for _ in 0..100 {
        if get(&served, "healthz").await.0 == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(post(&served, "add", b"leaf".to_vec()).await, (200, "0".to_owned()));
    assert_eq!(get(&served, "healthz").await, (200, "ok\n".to_owned()));
    clock.pass(31);
    assert_eq!(get(&served, "healthz").await, (503, "the published checkpoint is old\n".to_owned()));
    // Its ten minutes are over: the idle head is cosigned afresh.
    clock.pass(600);
    for _ in 0..100 {
        if get(&served, "healthz").await.0 == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(get(&served, "healthz").await, (200, "ok\n".to_owned()));
    served.stop().await;
}
