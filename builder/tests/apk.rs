//! Alpine's flow, without any container: an index signed as Alpine's tools sign it, over HTTP, and packages laid out by our script. Needs python3
//! and openssl.

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use attest::Statement;
use attest::predicate::Predicate;
use package::deb::Limits;
use support::containers::Builder;
use support::log::Log;
use support::service::{Running, logged, wait_for};

/// A served repository, and a builder that believes one of two keys.
struct Yard {
    dir: tempfile::TempDir,
    server: Child,
    builder: Builder,
}

fn script(name: &str) -> Command {
    Command::new(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/packages").join(name))
}

impl Yard {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        support::tool(script("build-apk.py").arg(dir.path().join("made")));
        let served = dir.path().join("served");
        fs::create_dir(&served).unwrap();
        fs::copy(dir.path().join("made/good.apk"), served.join("sample-1.0-r2.apk")).unwrap();
        for key in ["ours", "other"] {
            let path = dir.path().join(key);
            support::tool(Command::new("openssl").args(["genrsa", "-out"]).arg(&path).arg("2048"));
            support::tool(Command::new("openssl").args(["rsa", "-pubout", "-in"]).arg(&path).arg("-out").arg(path.with_extension("pub")));
        }
        let serve = "import http.server, functools, sys\nh = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1])\n\
                     s = http.server.ThreadingHTTPServer(('127.0.0.1', 0), h)\nprint(s.server_port, flush=True)\ns.serve_forever()\n";
        let mut server =
            Command::new("python3").args(["-c", serve]).arg(&served).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let text = format!(
            "keyring = \"{}\"\nmanager = \"apk\"\nobserve = false\nvendors = {{ main = \"alpine\" }}\n[[repository]]\nname = \"main\"\nurl = \"http://127.0.0.1:{}/\"\n",
            dir.path().join("ours.pub").display(),
            port.trim()
        );
        let builder = Builder::of_suite(dir.path(), "apk", "v3.20", &text);
        Self { dir, server, builder }
    }

    fn index(&self, key: &str, kind: &str) {
        support::tool(script("build-apkindex.py").arg(self.dir.path().join("served")).arg(self.dir.path().join(key)).arg(kind));
    }

    /// The same with another description of itself.
    fn index_of(&self, description: &str) {
        let text = fs::read_to_string(script("build-apkindex.py").get_program()).unwrap();
        let made = self.dir.path().join("described.py");
        fs::write(&made, text.replace("b\"made for a test\"", &format!("b\"{description}\""))).unwrap();
        support::tool(Command::new("python3").arg(made).arg(self.dir.path().join("served")).arg(self.dir.path().join("ours")));
    }

    fn served(&self, name: &str) -> PathBuf {
        self.dir.path().join("served").join(name)
    }

    /// What is said, and how it ends.
    fn attest(&self, package: &str) -> (Option<i32>, String) {
        let output = self.builder.attest(&[package]);
        (output.status.code(), support::text(&output))
    }
}

impl Drop for Yard {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[test]
fn a_package_is_claimed_with_its_branch() {
    for kind in ["sha256", "sha1"] {
        let yard = Yard::new();
        yard.index("ours", kind);
        let (code, text) = yard.attest("sample");
        assert_eq!(code, Some(0), "{text}");
        let said = yard.builder.said();
        let purl = "pkg:apk/alpine/sample@1.0-r2?arch=x86_64&branch=v3.20";
        assert_eq!(
            said.keys().map(|(kind, name)| (*kind, name.as_str())).collect::<Vec<_>>(),
            [("package-files/v1", purl), ("package-origin/v1", purl), ("package-source/v1", purl)]
        );
        let statement = |kind: &'static str| Statement::parse(&said[&(kind, purl.to_owned())]).unwrap();
        let bytes = fs::read(yard.served("sample-1.0-r2.apk")).unwrap();
        let package = package::apk::read(&bytes[..], &Limits::default()).unwrap();
        let files = statement("package-files/v1");
        let Predicate::PackageFiles(claim) = files.predicate else { panic!() };
        assert_eq!((claim.manifest, files.subject.digest.sha256), (package.manifest.root(), tlog::Hash::digest(&bytes)));
        let Predicate::PackageOrigin(origin) = statement("package-origin/v1").predicate else { panic!() };
        let index = tlog::Hash::digest(&fs::read(yard.served("APKINDEX.tar.gz")).unwrap());
        assert_eq!(
            (origin.in_release, origin.filename.as_str(), origin.suite.as_str(), origin.origin.as_str()),
            (index, "sample-1.0-r2.apk", "v3.20", "main")
        );
        let key = Command::new("openssl").args(["pkey", "-pubin", "-outform", "DER", "-in"]).arg(yard.dir.path().join("ours.pub")).output();
        assert_eq!(origin.signers, [tlog::Hash::digest(&key.unwrap().stdout).to_hex().to_ascii_uppercase()]);
    }
}

#[test]
fn nothing_is_said_of_what_no_signed_index_names() {
    let yard = Yard::new();
    let refused = |what: &str, code: i32| {
        let (status, text) = yard.attest("sample");
        assert!(status == Some(code) && text.contains(what) && text.contains("hint"), "{what}: {text}");
        assert_eq!(yard.builder.said().len(), 0);
    };
    refused("404", 10);
    yard.index("ours", "none");
    refused("is not signed", 10);
    yard.index("other", "sha256");
    refused("no signature by a key of the keyring", 10);
    yard.index("ours", "sha256");
    let good = fs::read(yard.served("APKINDEX.tar.gz")).unwrap();
    let last = good.len() - 12;
    let mut altered = good.clone();
    altered[last] ^= 1;
    fs::write(yard.served("APKINDEX.tar.gz"), &altered).unwrap();
    refused("", 10);
    fs::write(yard.served("APKINDEX.tar.gz"), &good).unwrap();
    // Another package under the name, which is smaller; one of the same control information that was signed again; one that was cut.
    let package = fs::read(yard.served("sample-1.0-r2.apk")).unwrap();
    fs::copy(yard.dir.path().join("made/empty.apk"), yard.served("sample-1.0-r2.apk")).unwrap();
    refused("sample-1.0-r2.apk is in no signed index", 1);
    fs::copy(yard.dir.path().join("made/unsigned.apk"), yard.served("sample-1.0-r2.apk")).unwrap();
    refused("is listed as", 1);
    fs::write(yard.served("sample-1.0-r2.apk"), &package[..package.len() - 1]).unwrap();
    refused("", 1);
    fs::write(yard.served("sample-1.0-r2.apk"), &package).unwrap();
    let (status, text) = yard.attest("absent");
    assert!(status == Some(1) && text.contains("no repository offers absent"), "{text}");
    assert_eq!(yard.attest("sample=1.0-r2").0, Some(0));
}

/// The same keys sign all branches: a mirror that serves another one's index under ours is found out.
#[test]
fn the_index_of_another_branch_is_refused() {
    let yard = Yard::new();
    for description in ["v3.19.4-10-g1a2b3c4", "v20240329-2085-g8b0d6e0"] {
        yard.index_of(description);
        let (status, text) = yard.attest("sample");
        assert!(status == Some(10) && text.contains("not of v3.20") && text.contains("hint"), "{text}");
        assert_eq!(yard.builder.said().len(), 0);
    }
    yard.index_of("v3.20.3-34-g1a2b3c4");
    assert_eq!(yard.attest("sample").0, Some(0));
}

/// What is new is said after one look; what is there is not said again, not after kills and restarts either; requests are answered.
#[test]
fn the_service_says_what_is_new_once() {
    let yard = Yard::new();
    yard.index("ours", "sha256");
    let log = Log::start();
    let config = fs::read_to_string(&yard.builder.config).unwrap();
    let run = "[run]\ninterval = 1\npackages = [\"pkg:apk/alpine/s*\"]\n";
    fs::write(&yard.builder.config, format!("{}{config}{run}", log.config())).unwrap();
    let mut running = Running::start(&yard.builder, &[]);
    wait_for("the package", || logged(&log).len() == 3);
    for _ in 0..3 {
        running.child.kill().unwrap();
        running.child.wait().unwrap();
        running = Running::start(&yard.builder, &[]);
        running.says("1 package files are known");
    }
    assert!(support::tally_builder(&["request", "--config", &yard.builder.config, "absent", "sample"], 30).status.success());
    let requests = yard.builder.dir.join("requests");
    wait_for("an empty queue", || fs::read_dir(&requests).unwrap().flatten().filter(|entry| entry.path().is_file()).count() == 0);
    let refused = fs::read_dir(requests.join("failed")).unwrap().flatten().next().unwrap();
    assert_eq!(fs::read_to_string(refused.path()).unwrap(), "absent\nno repository of the sources offers it\n");
    // What it knew of fetched files is lost: it is fetched once more, and nothing is said twice.
    running.end();
    // Where a kill came between the log's answer and its receipt, an envelope was sent again, and the log had it.
    let repeated = log.state.lock().unwrap().repeated;
    fs::remove_file(yard.builder.dir.join("fetched")).unwrap();
    let mut again = Running::start(&yard.builder, &[]);
    again.says("attested  sample:x86_64=1.0-r2");
    again.end();
    assert_eq!((logged(&log).len(), log.state.lock().unwrap().repeated), (3, repeated));
}

/// Keys that are none.
#[test]
fn what_is_not_there_is_said() {
    let yard = Yard::new();
    yard.index("ours", "sha256");
    fs::copy(yard.dir.path().join("ours"), yard.dir.path().join("ours.pub")).unwrap();
    let (status, text) = yard.attest("sample");
    assert!(status == Some(10) && text.contains("PUBLIC KEY"), "{text}");
}
