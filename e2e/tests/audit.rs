//! The auditor beside a real log with real witnesses: what it tells, and what its mirror is worth when the log is gone. Needs root, dpkg,
//! python3 and minisign.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use attest::{Manifest, Purl};
use e2e::program::path;
use e2e::{User, World, wait_until};
use package::deb::{Limits, read};

const MAKE: &str = r#"
mkdir -p tree/DEBIAN tree/usr/bin root/etc root/usr/bin root/var/lib/dpkg/info root/var/lib/dpkg/updates
printf 'hello\n' > tree/usr/bin/hello; chmod 755 tree/usr/bin/hello
printf 'Package: hello\nVersion: 1.0-1\nArchitecture: amd64\nMaintainer: T <t@example.com>\nDescription: test\n' > tree/DEBIAN/control
dpkg-deb --root-owner-group -b tree hello.deb > /dev/null
touch root/var/lib/dpkg/status root/var/lib/dpkg/available; echo amd64 > root/var/lib/dpkg/arch
printf 'root:x:0:0::/:/bin/sh\n' > root/etc/passwd; printf 'root:x:0:\n' > root/etc/group; printf 'ID=debian\n' > root/etc/os-release
dpkg --root=$PWD/root --force-script-chrootless --force-not-root --force-bad-path --log=/dev/null -i hello.deb > dpkg.out 2>&1 || { cat dpkg.out; exit 1; }
"#;

/// A package file `hello.deb` and a root where it is installed.
fn installed(dir: &Path) {
    let output = Command::new("bash").arg("-euc").arg(MAKE).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}

/// A process that is ended when dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A static file server that knows nothing of logs, and its URL.
fn static_server(dir: &Path) -> (Ended, String) {
    let mut command = Command::new("python3");
    command.args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "0", "--directory"]).arg(dir);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port: u16 = line.split("port ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok()).expect("it says its port");
    (Ended(child), format!("http://127.0.0.1:{port}"))
}

/// The JSON lines of an auditor that follows the log for ever.
fn following(world: &World, more: &[&str]) -> (Ended, Arc<Mutex<Vec<String>>>) {
    let mut command = Command::new(path("tally"));
    command.arg("--config").arg(world.at("tally.toml")).args(["audit", "--json", "--interval", "1s"]).args(more);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let (shared, stdout) = (lines.clone(), child.stdout.take().unwrap());
    std::thread::spawn(move || BufReader::new(stdout).lines().map_while(Result::ok).for_each(|line| shared.lock().unwrap().push(line)));
    (Ended(child), lines)
}

#[test]
fn a_mirror_stands_in_for_a_log_that_is_gone() {
    let mut world = World::start();
    let dir = tempfile::tempdir().unwrap();
    installed(dir.path());
    let deb = read(fs::File::open(dir.path().join("hello.deb")).unwrap(), &Limits::default()).unwrap();
    let purl = Purl::deb("debian", "hello", "1.0-1", "amd64").unwrap();
    for builder in [0, 1] {
        world.claim(builder, &purl, deb.sha256, &deb.manifest).unwrap();
    }
    let mirror = world.at("mirror");
    let output = User::new(&world, "1h").tally(&["audit", "--once", "--mirror", mirror.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    world.log.take().unwrap().kill();
    let (_server, url) = static_server(&mirror);
    let config = fs::read_to_string(world.at("tally.toml")).unwrap();
    let line = config.lines().find(|line| line.starts_with("log = ")).unwrap();
    fs::write(world.at("tally.toml"), config.replace(line, &format!("log = \"{url}\"")).replace("\"cache\"", "\"fresh\"")).unwrap();
    let config = world.at("tally.toml");
    let root = dir.path().join("root");
    let tally = |arguments: &[&str]| {
        let output = e2e::run("tally", [&["--config", config.to_str().unwrap()], arguments, &["--root", root.to_str().unwrap()]].concat());
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let synced = tally(&["sync", "--full"]);
    assert_eq!(synced.0, 0, "{synced:?}");
    let verified = tally(&["verify", "--all"]);
    assert_eq!(verified.0, 0, "{verified:?}");
    fs::write(root.join("usr/bin/hello"), "hellO\n").unwrap();
    let verified = tally(&["verify", "--all"]);
    assert!(verified.0 == 1 && verified.1.contains("/usr/bin/hello"), "{verified:?}");
    let checked = e2e::run("tally-log", ["fsck", &url]);
    assert!(checked.status.success(), "{checked:?}");
    // And the log can be made again from it.
    let (again, keys) = (world.at("again"), world.at("log"));
    let restored = e2e::run("tally-log", ["restore", "--dir", again.to_str().unwrap(), "--from", &url, "--keys", keys.to_str().unwrap()]);
    assert!(restored.status.success() && restored.stdout.starts_with(b"restored: size 3 "), "{restored:?}");
}

#[test]
fn an_auditor_that_follows_tells_warnings_withdrawals_and_conflicts() {
    let world = World::start();
    let key = world.at("security.example.key");
    let text =
        ["--key", key.to_str().unwrap(), "--id", "TSA-1", "--reference", "CVE-2026-0001", "--summary", "a hole", "--advice", "upgrade"];
    let user = User::new(&world, "1h");
    let says = |arguments: &[&str]| {
        let output = user.tally(&[arguments, &text[..]].concat());
        assert!(output.status.success(), "{output:?}");
    };
    let (auditor, lines) = following(&world, &["--watch", "pkg:deb/debian/openssl*"]);
    let heard =
        |lines: &Mutex<Vec<String>>, kind: &str| lines.lock().unwrap().iter().any(|line| line.contains(&format!("\"kind\":\"{kind}\"")));
    wait_until(|| heard(&lines, "roles"));
    says(&["advise", "warn", "--package", "pkg:deb/debian/hello", "--severity", "high"]);
    wait_until(|| heard(&lines, "advisory"));
    // Killed, it goes on; what was said meanwhile is told.
    drop(auditor);
    says(&["advise", "withdraw"]);
    let purl = Purl::parse("pkg:deb/debian/openssl@3.0.17-1?arch=amd64").unwrap();
    for (builder, content) in [(0, "one"), (1, "other")] {
        let package = attest::Hash::digest(b"openssl.deb");
        let digest = attest::Hash::digest(content.as_bytes());
        let text = format!(
            "#mtree package-sha256={package}\n. type=dir optional tags=implied\n./x type=file mode=0644 uname=root gname=root size=1 sha256digest={digest} tags=fixed\n"
        );
        world.claim(builder, &purl, package, &Manifest::parse(text.as_bytes()).unwrap()).unwrap();
    }
    let (_auditor, lines) = following(&world, &["--watch", "pkg:deb/debian/openssl*"]);
    wait_until(|| heard(&lines, "withdrawal") && heard(&lines, "builder-conflict") && heard(&lines, "watch"));
    assert!(!heard(&lines, "advisory") && !heard(&lines, "roles"), "told before");
    let watched: Vec<String> = lines.lock().unwrap().iter().filter(|line| line.contains("\"watch\"")).cloned().collect();
    assert!(
        watched.len() == 2 && watched[0].contains("builder-1.example for the first time") && watched[1].contains("builder-2.example"),
        "{watched:?}"
    );
}
