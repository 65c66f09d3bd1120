//! Real Debian packages built again from their sources in clean containers, and the results of a real rebuilderd, in a real log. Needs
//! root, Podman, mmdebstrap and this machine's own apt sources. Takes long: `make rebuilds`.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use attest::predicate::{Environment, Predicate, Rebuild, RebuildResult};
use attest::{Envelope, Statement};
use client::{Http, block_on};
use e2e::builder::Builder;
use e2e::{User, World, wait_until};

/// The machine's release and its keyring; the bootstrapped root is kept for other tests and builders.
fn configuration() -> String {
    let text = fs::read_to_string("/etc/os-release").expect("read");
    let suite = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME=")).expect("a release").to_owned();
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("roots");
    format!(
        "suite = \"{suite}\"\nkeyring = \"/usr/share/keyrings/debian-archive-keyring.gpg\"\n[container]\ntimeout = 3600\n[bootstrap]\ncache = \"{}\"\n",
        cache.display()
    )
}

/// What the log has about a package file, proven: the rebuild and who states it.
fn logged(world: &World, purl: &str) -> Vec<(Rebuild, Statement)> {
    let found = block_on(world.client().lookup(&[purl.to_owned()])).expect("a runtime").expect("an answer");
    let keys: Vec<_> = world.log_keys.clone();
    found.checkpoint.verify_log(&keys).expect("signed by the log");
    let mut rebuilds = Vec::new();
    for leaf in found.found {
        leaf.proof.verify(&found.checkpoint.checkpoint.tree, leaf.index, &tlog::hash_leaf(&leaf.leaf)).expect("proven");
        let envelope = Envelope::parse(&leaf.leaf).expect("an envelope");
        envelope.verify().expect("signed");
        let statement = Statement::parse(envelope.payload()).expect("a statement");
        if let Predicate::Rebuild(rebuild) = &statement.predicate {
            rebuilds.push((rebuild.clone(), statement.clone()));
        }
    }
    rebuilds
}

#[test]
#[ignore = "builds Debian packages: make rebuilds"]
fn real_packages_are_built_again_and_what_came_out_is_in_the_log() {
    let packages = std::env::var("REBUILD_PACKAGES").unwrap_or_else(|_| "sed hello dash hostname".to_owned());
    let packages: Vec<&str> = packages.split_whitespace().collect();
    let world = World::start();
    let rebuilder = Builder::new(&world, "builder-2", "rebuilder", &configuration());
    println!("| package | environment | result | first difference | seconds |\n|---|---|---|---|---|");
    let results = attested(&world, &rebuilder, &packages, Environment::Derived);
    let of = |name: &str| results.iter().find(|(purl, _)| purl.starts_with(&format!("pkg:deb/debian/{name}@"))).map(|(_, result)| *result);
    for package in &packages {
        assert!(of(package).is_some_and(|result| result != RebuildResult::Failed), "{package}: {results:?}");
    }
    if packages.contains(&"sed") {
        assert_eq!(of("sed"), Some(RebuildResult::Same), "{results:?}");
    }
    if packages.contains(&"hello") {
        assert_eq!(of("hello"), Some(RebuildResult::Different), "{results:?}");
    }
    // No mirror has the .buildinfo files of Debian's machines. What dpkg recorded of the build above is one, too: followed, it leads to the same.
    let records = fs::read_dir(rebuilder.home().join("records")).expect("records");
    let records: Vec<String> = records.map(|entry| entry.expect("an entry").path().to_str().expect("text").to_owned()).collect();
    assert_eq!(records.len(), packages.len(), "{records:?}");
    if packages.contains(&"sed") {
        let sed: Vec<&str> = records.iter().map(String::as_str).filter(|path| path.contains("/sed_")).collect();
        let again = attested(&world, &rebuilder, &sed, Environment::Recorded);
        assert_eq!(again.iter().map(|(_, result)| *result).collect::<Vec<_>>(), [RebuildResult::Same], "{again:?}");
    }
    audited(&world);
}

/// Builds targets, and looks into the log for what is said of each; a row of the table for each.
fn attested(world: &World, rebuilder: &Builder, targets: &[&str], environment: Environment) -> Vec<(String, RebuildResult)> {
    let output = rebuilder.rebuild(targets);
    let text = String::from_utf8(output.stdout).expect("text");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{text}{said}");
    let mut results = Vec::new();
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let Some(purl) = line["purl"].as_str() else { continue };
        let (rebuild, statement) = logged(world, purl).pop().expect("in the log");
        assert_eq!(statement.subject.digest.sha256.to_hex(), line["sha256"]);
        assert_eq!((rebuild.environment, rebuild.source_sha256.is_some()), (environment, true));
        let place = rebuild.first_difference.as_ref();
        let place =
            place.map_or_else(String::new, |first| format!("{} {} {:?}", first.member, first.path.as_deref().unwrap_or(""), first.what));
        println!("| {purl} | {:?} | {:?} | {place} | {} |", rebuild.environment, rebuild.result, line["seconds"]);
        assert_eq!(rebuild.result == RebuildResult::Different, !place.is_empty(), "a difference is located");
        results.push((purl.to_owned(), rebuild.result));
    }
    results
}

/// Whoever follows the log finds nothing wrong with it, and is told who built what.
fn audited(world: &World) {
    let user = User::new(world, "1h");
    let audit = user.tally(&["audit", "--once", "--watch", "pkg:deb/debian/*"]);
    let text = String::from_utf8_lossy(&audit.stdout);
    assert_eq!(audit.status.code(), Some(0), "{audit:?}");
    assert!(text.contains("has built it again, and the same file came out"), "{text}");
}

/// A process that is ended when dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a program of the root, in the root, in this directory of it.
fn start(root: &Path, dir: &str, program: &[&str], more: &[(&str, &str)]) -> Ended {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "chroot"]).arg(root).args(["sh", "-c", "cd \"$0\" && exec \"$@\"", dir]).args(program);
    command.envs(more.iter().copied()).stdin(Stdio::null()).stdout(Stdio::null());
    Ended(command.spawn().expect("chroot"))
}

fn shell(script: &str, arguments: &[&Path]) {
    let output = Command::new("bash").args(["-euc", script, "bash"]).args(arguments).output().expect("bash");
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port()
}

/// A package whose source is a script: built again it is the same file, or, for the second one, never is.
const PACKAGES: &str = r#"
cd "$1/srv"
for name in still moving; do
  mkdir -p $name/DEBIAN $name/usr/share/$name
  printf 'Package: %s\nVersion: 1:1.0-1\nArchitecture: all\nMaintainer: t <t@example.org>\nDescription: t\n' $name >$name/DEBIAN/control
  echo content >$name/usr/share/$name/file
  echo "Source: $name" >${name}_1.0-1_all.buildinfo
  find $name -exec touch -h -d @1700000000 {} +
  SOURCE_DATE_EPOCH=1700000000 dpkg-deb --root-owner-group -b $name ${name}_1.0-1_all.deb >/dev/null
done
cat >../usr/local/bin/backend <<'END'
#!/bin/sh
# What a rebuilder of a distribution is to rebuilderd: builds $1 again into $REBUILDERD_OUTDIR.
set -eu
name=$(sed 's/^Source: //' "$1")
d=$(mktemp -d)
cp -a /srv/$name $d/
[ $name = still ] || date +%s.%N >$d/moving/usr/share/moving/file
find $d/$name -exec touch -h -d @1700000000 {} +
SOURCE_DATE_EPOCH=1700000000 dpkg-deb --root-owner-group -b $d/$name $REBUILDERD_OUTDIR/${name}_1.0-1_all.deb
END
chmod 755 ../usr/local/bin/backend
"#;

#[test]
#[ignore = "needs a root of Debian sid with rebuilderd: make rebuilds"]
fn a_real_rebuilderds_results_are_taken_over() {
    let made = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.ci/root"))
        .args(["sid", "rebuilderd,rebuilderd-worker"])
        .output()
        .expect("starts");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let dir = tempfile::tempdir().expect("a directory");
    let (base, root) = (String::from_utf8(made.stdout).expect("text"), dir.path().join("root"));
    shell("cp -a --reflink=auto \"$1\" \"$2\"; mkdir -p \"$2/srv\" \"$2/d\" \"$2/w\"", &[Path::new(base.trim()), &root]);
    shell(PACKAGES, &[&root]);
    let (port, files) = (free_port(), free_port());
    let url = format!("http://127.0.0.1:{port}");
    fs::write(root.join("d/conf"), format!("[http]\nbind_addr = \"127.0.0.1:{port}\"\n[worker]\nsignup_secret = \"signup\"\n"))
        .expect("written");
    fs::write(
        root.join("w/conf"),
        format!("endpoint = \"{url}\"\nsignup_secret = \"signup\"\nsupported_architectures = [\"all\"]\nidle_delay = 1\n[backend.\"debian\"]\npath = \"/usr/local/bin/backend\"\n"),
    )
    .expect("written");
    let _daemon = start(&root, "/d", &["rebuilderd", "-c", "conf"], &[("REBUILDERD_COOKIE_PATH", "/d/cookie")]);
    let served = root.join("srv");
    let mut command = Command::new("python3");
    command.args(["-m", "http.server", "--bind", "127.0.0.1", &files.to_string(), "--directory"]).arg(&served);
    let _files = Ended(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("python3"));
    let http = Http::new(&url, Duration::from_secs(10)).expect("a URL");
    let get = |path: &str| {
        block_on(http.get(path, 1 << 20))
            .expect("a runtime")
            .ok()
            .and_then(|answer| serde_json::from_slice::<serde_json::Value>(&answer.body).ok())
    };
    wait_until(|| get("api/v1/meta/public-keys").is_some());
    let cookie = fs::read_to_string(root.join("d/cookie")).expect("its own cookie");
    let artifact = |name: &str| serde_json::json!({ "name": name, "version": "1:1.0-1", "component": "main", "architecture": "all", "url": format!("http://127.0.0.1:{files}/{name}_1.0-1_all.deb") });
    let source = |name: &str| serde_json::json!({ "name": name, "version": "1:1.0-1", "url": format!("http://127.0.0.1:{files}/{name}_1.0-1_all.buildinfo"), "artifacts": [artifact(name)] });
    let report = serde_json::json!({ "distribution": "debian", "release": "sid", "architecture": "all", "packages": [source("still"), source("moving")] });
    let request = http
        .request(client::http::Method::POST, "api/v1/packages")
        .header("X-Auth-Cookie", cookie.trim())
        .header("content-type", "application/json");
    block_on(http.send("api/v1/packages", request.body(report.to_string()), 1 << 20)).expect("a runtime").expect("taken");
    let _worker = start(&root, "/w", &["rebuilderd-worker", "-c", "conf", "connect"], &[]);
    let statuses = || {
        let listed = get("api/v1/packages/binary").unwrap_or_default();
        let records = listed["records"].as_array().cloned().unwrap_or_default();
        let mut statuses: Vec<String> =
            records.iter().filter_map(|record| Some(format!("{} {}", record["name"].as_str()?, record["status"].as_str()?))).collect();
        statuses.sort();
        statuses
    };
    let started = Instant::now();
    while statuses() != ["moving BAD", "still GOOD"] {
        assert!(started.elapsed() < Duration::from_secs(120), "{:?}", statuses());
        std::thread::sleep(Duration::from_millis(500));
    }

    let world = World::start();
    let rebuilder = Builder::new(&world, "builder-2", "rebuilder", &configuration());
    let config = rebuilder.config().to_str().expect("text").to_owned();
    let import = |more: &[&str]| e2e::run("tally-builder", [&["import-rebuilderd", "--config", &config], more].concat());
    let unconfirmed = import(&[&url]);
    let key = String::from_utf8(unconfirmed.stdout).expect("text");
    assert!(unconfirmed.status.code() == Some(10) && key.starts_with("-----BEGIN PUBLIC KEY-----"), "{key}");
    let (own, other) = (world.at("own.pem"), world.at("other.pem"));
    fs::write(&own, &key).expect("written");
    // The example of RFC 8410: a key that has signed nothing here.
    fs::write(
        &other,
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n",
    )
    .expect("written");
    let refused = import(&["--key", other.to_str().expect("text"), &url]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let taken = import(&["--key", own.to_str().expect("text"), &url]);
    assert_eq!(taken.status.code(), Some(0), "{taken:?}");
    let (rebuild, statement) = logged(&world, "pkg:deb/debian/still@1:1.0-1?arch=all").pop().expect("in the log");
    let file = fs::read(served.join("still_1.0-1_all.deb")).expect("read");
    assert_eq!((rebuild.result, statement.subject.digest.sha256), (RebuildResult::Same, tlog::Hash::digest(&file)));
    assert_eq!((rebuild.source.as_str(), rebuild.imported.expect("imported").url.as_str()), ("still 1:1.0-1", url.as_str()));
    assert!(logged(&world, "pkg:deb/debian/moving@1:1.0-1?arch=all").is_empty(), "what came out different has no signed link");
    // Once more: the same statement, so the log has it already.
    assert_eq!(import(&["--key", own.to_str().expect("text"), &url, "still"]).status.code(), Some(0));
    assert_eq!(logged(&world, "pkg:deb/debian/still@1:1.0-1?arch=all").len(), 1);
    // And a user sees who built it.
    let user = User::new(&world, "1h");
    let checked = user.tally(&["check", served.join("still_1.0-1_all.deb").to_str().expect("text")]);
    assert_eq!(checked.status.code(), Some(2), "nobody claims what it contains: {checked:?}");
}
