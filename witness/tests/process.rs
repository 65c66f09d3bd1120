//! The program itself: its command line, its lock, its marker, SIGTERM, `kill -9` and a file system without room.

mod support;

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use support::{ORIGIN, TestLog, reply};
use tlog::{KeyKind, SignatureLine, Tree, VerifierKey, cosignature};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tally-witness");

struct Setup {
    root: tempfile::TempDir,
    log: TestLog,
    keys: Vec<VerifierKey>,
}

impl Setup {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let log = TestLog::new(ORIGIN);
        std::fs::write(root.path().join("logs"), support::list(&[&log])).unwrap();
        let made = run(&["init", "--dir", text(&root.path().join("w")), "--name", "witness.example.org"]);
        assert!(made.status.success(), "{made:?}");
        let keys: Vec<_> = String::from_utf8(made.stdout).unwrap().lines().map(|key| VerifierKey::parse(key).unwrap()).collect();
        Self { root, log, keys }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn serve_args(&self, dir: &str) -> [String; 7] {
        let (dir, logs) = (self.path(dir), self.path("logs"));
        ["serve", "--listen", "127.0.0.1:0", "--dir", text(&dir), "--logs", text(&logs)].map(str::to_owned)
    }

    fn serve(&self, dir: &str) -> Serving {
        Serving::start(Command::new(PROGRAM).args(self.serve_args(dir)))
    }

    fn accept(&self, dir: &str) -> Output {
        run(&["accept-state", "--dir", text(&self.path(dir)), "--logs", text(&self.path("logs"))])
    }

    fn verify(&self, answer: &str, size: usize) {
        let lines: Vec<_> = answer.lines().map(|line| SignatureLine::parse(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        for (key, line) in self.keys.iter().zip(&lines) {
            cosignature::verify(key, line, &self.log.checkpoint(size)).unwrap();
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

/// A running program; killed when dropped.
struct Serving {
    child: Child,
    url: String,
}

impl Serving {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Some(address) = line.strip_prefix("listening on ") else {
            let mut errors = String::new();
            child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
            panic!("not ready: {line}{errors}");
        };
        // Read on, so that the program never waits for its log lines to be taken.
        let mut errors = child.stderr.take().unwrap();
        std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
        Self { url: format!("http://{}", address.trim()), child }
    }

    async fn post(&self, body: String) -> Option<support::Reply> {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
        let response = client.post(format!("{}/add-checkpoint", self.url)).body(body).send().await.ok()?;
        let status = response.status().as_u16();
        Some(support::Reply { status, content_type: String::new(), retry_after: None, body: response.text().await.ok()? })
    }

    async fn get(&self, path: &str) -> support::Reply {
        reply(reqwest::Client::new().get(format!("{}{path}", self.url))).await
    }

    fn terminate(mut self) -> std::process::ExitStatus {
        let killed = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        self.child.wait().unwrap()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Ended already, or ended here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn made_served_and_ended() {
    let setup = Setup::new();
    assert_eq!(setup.keys.iter().map(VerifierKey::kind).collect::<Vec<_>>(), [KeyKind::CosignatureV1, KeyKind::MlDsa44]);
    assert!(setup.keys.iter().all(|key| key.name().as_str() == "witness.example.org"));
    let serving = setup.serve("w");
    let answer = serving.post(setup.log.request(0, 5)).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    setup.verify(&answer.body, 5);
    assert_eq!(serving.get("/healthz").await.body, "ok\n");
    assert!(serving.terminate().success(), "a clean end");
    // The second program goes on where the first one ended.
    let serving = setup.serve("w");
    assert_eq!(serving.post(setup.log.request(0, 7)).await.unwrap().status, 409);
    let answer = serving.post(setup.log.request(5, 7)).await.unwrap();
    setup.verify(&answer.body, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_witness_on_the_directory_is_refused() {
    let setup = Setup::new();
    let serving = setup.serve("w");
    let arguments = setup.serve_args("w");
    let second = Command::new(PROGRAM).args(&arguments).output().unwrap();
    assert!(!second.status.success());
    let errors = String::from_utf8(second.stderr).unwrap();
    assert!(errors.contains("another process is using") && errors.contains("hint: "), "{errors}");
    assert!(second.stdout.is_empty());
    // So is the command that changes state.
    assert!(!setup.accept("w").status.success());
    assert_eq!(serving.post(setup.log.request(0, 5)).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_the_directory_signs_nothing_until_it_is_accepted() {
    let setup = Setup::new();
    let serving = setup.serve("w");
    assert_eq!(serving.post(setup.log.request(0, 5)).await.unwrap().status, 200);
    assert!(serving.terminate().success());
    assert!(Command::new("cp").args(["-a", text(&setup.path("w")), text(&setup.path("copy"))]).status().unwrap().success());
    let copy = setup.serve("copy");
    let refused = copy.post(setup.log.request(5, 7)).await.unwrap();
    assert_eq!(refused.status, 503);
    assert!(refused.body.contains("copy"), "{}", refused.body);
    assert!(copy.terminate().success());
    // The original is still the original; moved within its file system too.
    std::fs::rename(setup.path("w"), setup.path("moved")).unwrap();
    assert_eq!(setup.serve("moved").post(setup.log.request(5, 7)).await.unwrap().status, 200);
    // The operator's word makes the copy one.
    let accepted = setup.accept("copy");
    assert!(accepted.status.success(), "{accepted:?}");
    assert!(String::from_utf8(accepted.stdout).unwrap().starts_with("example.org/log: size 5 at time "));
    assert_eq!(setup.serve("copy").post(setup.log.request(5, 7)).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_it_has_signed_one_history() {
    let setup = Setup::new();
    let fork = TestLog::forked(ORIGIN, 0);
    let (mut size, mut signed) = (0, Vec::new());
    for round in 0..12_u64 {
        let mut serving = setup.serve("w");
        let pid = serving.child.id().to_string();
        // Into the middle of the requests below.
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(round * 7));
            Command::new("kill").args(["-KILL", &pid]).status().unwrap()
        });
        for step in 1..=12 {
            let views = if step % 2 == 0 { [&setup.log, &fork] } else { [&fork, &setup.log] };
            for view in views {
                let Some(answer) = serving.post(view.request(size, size + 1)).await else { continue };
                match answer.status {
                    200 => {
                        size += 1;
                        signed.push(view.checkpoint(size).tree);
                    }
                    status => assert!([409, 422].contains(&status), "{}", answer.body),
                }
            }
        }
        assert!(killer.join().unwrap().success());
        serving.child.wait().unwrap();
        // A signature may have been lost on its way: what counts is the state.
        let serving = setup.serve("w");
        let stale = serving.post(setup.log.request(199, 199)).await.unwrap();
        let stored: usize = stale.body.trim().parse().unwrap();
        assert!(stored >= size, "answered at {size}, kept {stored}");
        size = stored;
    }
    let of = |view: &TestLog| signed.iter().all(|tree| *tree == Tree::of(&view.leaves[..tree.size as usize]));
    assert!(of(&setup.log) || of(&fork), "{signed:?}");
    println!("12 kills, {} answers, size {size}", signed.len());
}

/// Needs root: a file system of its own, in a mount namespace of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_file_system_signs_nothing() {
    if !is_root() {
        eprintln!("SKIPPED: only root can mount a small file system");
        return;
    }
    let setup = Setup::new();
    let script = "mount -t tmpfs -o size=256k tmpfs \"$MOUNT\" && cp -a \"$ORIGINAL/.\" \"$MOUNT\" && \
                  \"$PROGRAM\" accept-state --dir \"$MOUNT\" --logs \"$LOGS\" >&2 && exec \"$PROGRAM\" serve --dir \"$MOUNT\" --logs \"$LOGS\" --listen 127.0.0.1:0";
    let mount = setup.path("mount");
    std::fs::create_dir(&mount).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).env("PROGRAM", PROGRAM).env("MOUNT", &mount);
    let serving = Serving::start(command.env("ORIGINAL", setup.path("w")).env("LOGS", setup.path("logs")));
    assert_eq!(serving.post(setup.log.request(0, 5)).await.unwrap().status, 200);
    let inside = |script: &str| {
        let mut enter = Command::new("nsenter");
        enter.args(["--mount", "--target", &serving.child.id().to_string(), "sh", "-c", script]);
        enter.env("MOUNT", &mount).status().unwrap()
    };
    inside("head -c 1M /dev/zero > \"$MOUNT/filler\" 2>/dev/null");
    for _ in 0..3 {
        let refused = serving.post(setup.log.request(5, 7)).await.unwrap();
        assert_eq!(refused.status, 503, "{}", refused.body);
    }
    assert!(inside("rm \"$MOUNT/filler\"").success());
    assert_eq!(serving.post(setup.log.request(0, 7)).await.unwrap().body, "5\n");
    let answer = serving.post(setup.log.request(5, 7)).await.unwrap();
    setup.verify(&answer.body, 7);
    assert!(serving.get("/metrics").await.body.contains("tally_witness_failed_saves_total "));
}

/// Needs root, for the same reason.
#[test]
fn a_read_only_directory_is_a_clear_error() {
    if !is_root() {
        eprintln!("SKIPPED: only root can mount a directory read-only");
        return;
    }
    let setup = Setup::new();
    let script = "mount --bind \"$DIR\" \"$DIR\" && mount -o remount,bind,ro \"$DIR\" && \
                  exec \"$PROGRAM\" serve --dir \"$DIR\" --logs \"$LOGS\" --listen 127.0.0.1:0";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).env("PROGRAM", PROGRAM).env("DIR", setup.path("w")).env("LOGS", setup.path("logs"));
    let refused = command.output().unwrap();
    assert!(!refused.status.success() && refused.stdout.is_empty());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("Read-only file system"), "{refused:?}");
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout == b"0\n"
}

#[test]
fn errors_say_what_to_do_next() {
    let setup = Setup::new();
    let again = run(&["init", "--dir", text(&setup.path("w")), "--name", "witness.example.org"]);
    let errors = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(!again.status.success() && errors.contains("hint: choose another directory"), "keys are never replaced: {errors}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    std::fs::write(setup.path("empty"), "logs/v0\n").unwrap();
    let mut serve = Command::new(PROGRAM);
    serve.args(["serve", "--listen", &address, "--dir", text(&setup.path("w")), "--logs", text(&setup.path("empty"))]);
    let refused = serve.output().unwrap();
    let errors = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && errors.contains("in use") && errors.contains("hint: give an address"), "{errors}");
    let missing = Command::new(PROGRAM)
        .args(["serve", "--listen", "127.0.0.1:0", "--dir", text(&setup.path("w")), "--logs", "none"])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(!missing.status.success() && errors.contains("no list of logs") && errors.contains("hint: write one"), "{errors}");
    let plus = run(&["init", "--dir", text(&setup.path("x")), "--name", "a+b"]);
    assert!(!plus.status.success() && String::from_utf8_lossy(&plus.stderr).contains("hint: use 1 to 255 bytes"));
    let nothing = Command::new(PROGRAM).args(setup.serve_args("nothing")).output().unwrap();
    assert!(!nothing.status.success() && String::from_utf8_lossy(&nothing.stderr).contains("hint: make one with"));
    std::fs::write(setup.path("logs"), "logs/v1\n").unwrap();
    let list = Command::new(PROGRAM).args(setup.serve_args("w")).output().unwrap();
    let errors = String::from_utf8_lossy(&list.stderr).into_owned();
    assert!(!list.status.success() && errors.contains("line 1: ") && errors.contains("hint: "), "{errors}");
    Command::new("chmod").args(["640", text(&setup.path("w/keys/subtree"))]).status().unwrap();
    std::fs::write(setup.path("logs"), "logs/v0\n").unwrap();
    let open = Command::new(PROGRAM).args(setup.serve_args("w")).output().unwrap();
    assert!(!open.status.success() && String::from_utf8_lossy(&open.stderr).contains("chmod 600"));
}

#[test]
fn help_has_an_example_for_each_command() {
    for command in ["init", "serve", "feed", "bastion", "accept-state", "completions", "man"] {
        let help = run(&[command, "--help"]);
        assert!(help.status.success() && String::from_utf8(help.stdout).unwrap().contains("Example"), "{command}");
    }
    assert!(run(&["completions", "bash"]).stdout.len() > 500);
    let dir = tempfile::tempdir().unwrap();
    assert!(run(&["man", text(dir.path())]).status.success());
    assert!(dir.path().join("tally-witness.1").exists());
}
