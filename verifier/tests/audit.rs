//! `tally audit` over logs that are honest, wrong in every way that an auditor looks for, or killed beside it. Needs root, dpkg-deb and minisign.

mod world;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use attest::predicate::Action;
use attest::roles::KeyState;
use attest::{Bundle, Hash, Manifest, Purl};
use tlog::{KeyKind, Signer as _};
use world::packages::base;
use world::served::{RULES, forked};
use world::server::Server;
use world::{ORIGIN, Outcome, World, key, now};

/// What an auditor said, as `level kind`, and the lines.
fn said(outcome: &Outcome) -> (Vec<String>, Vec<serde_json::Value>) {
    let lines: Vec<serde_json::Value> = outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let words = |line: &serde_json::Value| format!("{} {}", line["level"].as_str().unwrap(), line["kind"].as_str().unwrap());
    (lines.iter().map(words).collect(), lines)
}

fn audit(world: &World, more: &[&str]) -> Outcome {
    world.tally(&[&["audit", "--once", "--json"], more].concat())
}

fn serve(world: &World) -> Server {
    let server = Server::start();
    world.configure_log(RULES, &server.url);
    server.show(&world.leaves, &world.head(), &world.manifests);
    server
}

fn purl(name: &str) -> Purl {
    Purl::deb("debian", name, "1.0-1", "amd64").unwrap()
}

/// The manifest of a package file, with another content of one file.
fn altered(manifest: &Manifest) -> Manifest {
    let text = String::from_utf8(manifest.encode()).unwrap();
    let (before, after) = text.split_once("sha256digest=").unwrap();
    let other = Hash::digest(b"another content").to_hex();
    Manifest::parse(format!("{before}sha256digest={other}{}", &after[64..]).as_bytes()).unwrap()
}

#[test]
fn an_honest_log_gives_notices_and_each_only_once() {
    let mut world = base().world();
    let server = serve(&world);
    let outcome = audit(&world, &[]);
    assert_eq!((outcome.status, said(&outcome).0), (0, vec!["notice roles".to_owned()]), "{outcome:?}");
    let outcome = audit(&world, &[]);
    assert_eq!((outcome.status, outcome.stdout.as_str()), (0, ""));
    world.advise(Action::Warn, "pkg:deb/debian/basic");
    world.advise(Action::Withdraw, "");
    server.show(&world.leaves, &world.head(), &world.manifests);
    server.take_asked();
    let outcome = audit(&world, &[]);
    let (kinds, lines) = said(&outcome);
    assert_eq!((outcome.status, kinds), (0, vec!["notice advisory".to_owned(), "notice withdrawal".to_owned()]), "{outcome:?}");
    assert_eq!((&lines[0]["log"], &lines[0]["entries"]), (&ORIGIN.into(), &serde_json::json!([world.leaves.len() - 2])));
    assert!(lines[0]["text"].as_str().unwrap().contains("CVE-2026-0001"), "{lines:?}");
    assert!(server.take_asked().iter().all(|path| !path.starts_with("lookup") && !path.starts_with("manifest")), "nobody is asked again");
    // Text for people.
    std::fs::remove_dir_all(world.path("cache")).unwrap();
    let outcome = world.tally(&["audit", "--once"]);
    assert!(outcome.stdout.contains(" notice advisory, entry 13: TSA-1, CVE-2026-0001: A hole pkg:deb/debian/basic\n"), "{outcome:?}");
}

/// A wrong thing, what it does to the log, what is said about it, and the status.
type Wrong = (&'static str, fn(&mut World), &'static [&'static str], i32);

const WRONGS: [Wrong; 9] = [
    ("a stranger's claim", |world| _ = world.claim("stranger", &purl("x"), &base().manifest("basic").1), &["alarm inadmissible"], 1),
    ("the same again", |world| world.leaves.push(world.leaves[1].clone()), &["alarm duplicate"], 1),
    ("roles that skip a version", |world| world.change_roles(|roles| roles.version += 1), &["alarm inadmissible"], 1),
    (
        "another builder's other content",
        |world| {
            let (purl, manifest) = base().manifest("basic");
            world.claim("builder-3", &purl, &altered(&manifest));
        },
        &["warning builder-conflict"],
        2,
    ),
    (
        "a builder's own other content",
        |world| {
            let (purl, manifest) = base().manifest("basic");
            world.claim("builder-1", &purl, &altered(&manifest));
        },
        &["warning contradiction"],
        2,
    ),
    (
        "another package file of one version",
        |world| _ = world.claim("builder-1", &base().manifest("basic").0, &base().manifest("taker").1),
        &["warning two-packages"],
        2,
    ),
    (
        "a builder that only repeats",
        |world| {
            let manifest = base().manifest("basic").1;
            for number in 0..40 {
                world.claim("builder-1", &purl(&format!("p{number}")), &manifest);
                world.claim("builder-3", &purl(&format!("p{number}")), &manifest);
            }
        },
        &["warning repeats"],
        2,
    ),
    (
        "a key that was stolen",
        |world| world.change_roles(|roles| roles.builders[1].state = KeyState::CompromisedFrom(3)),
        &["notice roles", "warning compromised"],
        2,
    ),
    ("nothing", |_| (), &[], 0),
];

#[test]
fn every_wrong_is_told_with_entries_that_prove_it() {
    for (what, wrong, expected, status) in WRONGS {
        let mut world = base().world();
        let server = serve(&world);
        assert_eq!(audit(&world, &[]).status, 0);
        wrong(&mut world);
        server.show(&world.leaves, &world.head(), &world.manifests);
        let outcome = audit(&world, &[]);
        let (kinds, lines) = said(&outcome);
        assert_eq!(
            (outcome.status, kinds.iter().map(String::as_str).collect::<Vec<_>>()),
            (status, expected.to_vec()),
            "{what}: {outcome:?}"
        );
        for line in lines.iter().filter(|line| line["level"] != "notice") {
            let bundle = Bundle::parse(&std::fs::read(line["evidence"].as_str().expect(what)).unwrap()).unwrap();
            bundle.verify().unwrap();
            let named: Vec<u64> = line["entries"].as_array().unwrap().iter().map(|index| index.as_u64().unwrap()).collect();
            let held: Vec<u64> = bundle.leaves.iter().map(|leaf| leaf.index).collect();
            assert!(!named.is_empty() && named.iter().chain(&[0]).all(|index| held.contains(index)), "{what}: {named:?} in {held:?}");
        }
        // An auditor that begins now comes to the same.
        std::fs::remove_dir_all(world.path("cache")).unwrap();
        let outcome = audit(&world, &[]);
        let fresh = said(&outcome).0;
        assert_eq!(outcome.status, status, "{what}: {outcome:?}");
        assert!(kinds.iter().all(|kind| fresh.contains(kind)), "{what}: {fresh:?}");
    }
}

#[test]
fn missing_and_wrong_manifests_are_told() {
    let (_, manifest) = base().manifest("basic");
    let path = format!("manifest/{}", manifest.root());
    let cut = &manifest.encode()[..manifest.encode().len() - 1];
    for (bytes, expected, status) in [
        (None, "warning manifest-missing", 2),
        (Some(altered(&manifest).encode()), "alarm manifest-wrong", 1),
        (Some(cut.to_vec()), "alarm manifest-wrong", 1),
        (Some(base().manifest("taker").1.encode()), "alarm manifest-wrong", 1),
    ] {
        let world = base().world();
        let server = serve(&world);
        match bytes {
            None => server.hide(&path),
            Some(bytes) => server.put(&path, &bytes),
        }
        let outcome = audit(&world, &[]);
        let kinds = said(&outcome).0;
        assert_eq!((outcome.status, kinds.contains(&expected.to_owned())), (status, true), "{outcome:?}");
    }
}

#[test]
fn what_is_said_of_watched_packages_is_told_and_new_speakers_stand_out() {
    let mut world = base().world();
    let _server = serve(&world);
    assert_eq!(audit(&world, &["--watch", "pkg:deb/debian/ba*"]).status, 0);
    world.claim("builder-3", &base().manifest("basic").0, &base().manifest("basic").1);
    world.claim("builder-1", &purl("bash"), &base().manifest("basic").1);
    let _server = serve(&world);
    let outcome = audit(&world, &["--watch", "pkg:deb/debian/ba*"]);
    let (kinds, lines) = said(&outcome);
    assert_eq!((outcome.status, kinds), (0, vec!["notice watch".to_owned(); 2]), "{outcome:?}");
    let text = |line: &serde_json::Value| line["text"].as_str().unwrap().to_owned();
    assert!(text(&lines[0]).starts_with("builder-3 for the first time claims what it contains"), "{lines:?}");
    assert!(
        text(&lines[1]).starts_with("builder-1 claims what it contains") && lines[1]["subject"] == purl("bash").to_string(),
        "{lines:?}"
    );
    // A maintainer who says whose word is expected hears of all others as a warning.
    world.claim("builder-2", &purl("basil"), &base().manifest("basic").1);
    world.source("builder-3", &purl("basil"), &base().manifest("basic").1, "basil", "1.0-1");
    let _server = serve(&world);
    let known = key("builder-2", KeyKind::Ed25519).key().encode();
    let outcome = audit(&world, &["--watch", "pkg:deb/debian/ba*", "--known", "builder-1", "--known", &known]);
    let (kinds, lines) = said(&outcome);
    assert_eq!((outcome.status, kinds), (2, vec!["notice watch".to_owned(), "warning unknown-builder".to_owned()]), "{outcome:?}");
    assert!(text(&lines[1]).starts_with("builder-3, who is not among those known, says from which source it was built"), "{lines:?}");
    assert_eq!(audit(&world, &["--known", "builder-1"]).status, 64);
    let refused = audit(&world, &["--watch", "pkg:deb/de*bian"]);
    assert!(refused.status == 64 && refused.stderr.contains("--watch"), "{refused:?}");
}

#[test]
fn a_stale_log_and_another_policy_are_told() {
    let mut world = World::with_roles(|roles| roles.policy = Hash::digest(b"another policy"));
    world.claim("builder-1", &base().manifest("basic").0, &base().manifest("basic").1);
    let server = serve(&world);
    let outcome = audit(&world, &[]);
    assert_eq!((outcome.status, said(&outcome).0), (2, vec!["notice roles".to_owned(), "warning other-policy".to_owned()]), "{outcome:?}");
    let old = now() - 7200;
    world.claim("builder-2", &base().manifest("basic").0, &base().manifest("basic").1);
    server.show(&world.leaves, &world.checkpoint(world.leaves.len(), &[(1, now()), (2, old), (3, old)]), &world.manifests);
    let outcome = audit(&world, &[]);
    assert!(outcome.status == 3 && said(&outcome).0.contains(&"warning stale".to_owned()), "{outcome:?}");
    assert!(outcome.stdout.contains("2 h"), "{outcome:?}");
}

#[test]
fn a_fork_ends_the_audit_with_evidence() {
    let world = base().world();
    let server = serve(&world);
    assert_eq!(audit(&world, &[]).status, 0);
    let leaves = forked(&world, 4, 30);
    server.show(&leaves, &world::checkpoint(&leaves, &[(1, now()), (2, now())]), &world.manifests);
    let outcome = audit(&world, &[]);
    let (kinds, lines) = said(&outcome);
    assert_eq!((outcome.status, kinds), (1, vec!["alarm fork".to_owned()]), "{outcome:?}");
    use tlog::Signer as _;
    let vkey = key(ORIGIN, tlog::KeyKind::Ed25519).key().encode();
    let convicted = world.tally(&["audit", "evidence", lines[0]["evidence"].as_str().unwrap(), "--key", &vkey]);
    assert!(convicted.status == 0 && convicted.stdout.contains("two histories"), "{convicted:?}");
    server.hide("");
    assert_eq!(audit(&world, &[]).status, 14, "a log that is away is no finding");
}

/// Takes one POST after another; the bodies.
fn hook(listener: TcpListener) -> Arc<Mutex<Vec<String>>> {
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let shared = bodies.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut text = String::new();
            let mut chunk = [0; 4096];
            let is_whole = |text: &str| {
                let (head, body) = text.split_once("\r\n\r\n")?;
                let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok())?;
                (body.len() >= length).then(|| body.to_owned())
            };
            let body = loop {
                if let Some(body) = is_whole(&text) {
                    break body;
                }
                let count = stream.read(&mut chunk).unwrap();
                text.push_str(std::str::from_utf8(&chunk[..count]).unwrap());
            };
            assert!(text.starts_with("POST /in/tally "), "{text}");
            shared.lock().unwrap().push(body);
            stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
        }
    });
    bodies
}

#[test]
fn a_webhook_and_a_mail_command_get_what_is_found_and_what_they_missed() {
    let mut world = base().world();
    let server = serve(&world);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (url, mails) = (format!("http://{address}/in/tally"), world.path("mails"));
    let mail = format!("cat >> {}", mails.display());
    let outcome = audit(&world, &["--webhook", &url, "--mail", "exit 3"]);
    assert!(
        outcome.status == 0 && outcome.stderr.contains("wait for the webhook") && outcome.stderr.contains("wait for the mail"),
        "{outcome:?}"
    );
    world.advise(Action::Warn, "pkg:deb/debian/basic");
    server.show(&world.leaves, &world.head(), &world.manifests);
    let bodies = hook(TcpListener::bind(address).unwrap());
    assert_eq!(audit(&world, &["--webhook", &url, "--mail", &mail]).status, 0);
    assert_eq!(audit(&world, &["--webhook", &url, "--mail", &mail]).status, 0);
    let bodies = bodies.lock().unwrap();
    let json: Vec<serde_json::Value> = bodies.iter().map(|body| serde_json::from_str(body).unwrap()).collect();
    let kinds: Vec<&str> =
        json.iter().flat_map(|body| body["alerts"].as_array().unwrap()).map(|alert| alert["kind"].as_str().unwrap()).collect();
    assert_eq!((kinds, &json[0]["log"]), (vec!["roles", "advisory"], &ORIGIN.into()));
    let mails = std::fs::read_to_string(mails).unwrap();
    assert_eq!(mails.lines().map(|line| line.split(' ').nth(2).unwrap()).collect::<Vec<_>>(), ["roles,", "advisory,"], "{mails}");
}

#[test]
fn two_auditors_do_not_share_a_mirror() {
    let world = base().world();
    let _server = serve(&world);
    let mirror = world.path("mirror");
    std::fs::create_dir(&mirror).unwrap();
    let held = std::fs::File::create(mirror.join(".lock")).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let other = world.machine("other");
    let outcome = other.tally_online(&["audit", "--once", "--mirror", mirror.to_str().unwrap()]);
    assert!(outcome.status == 12 && outcome.stderr.contains("another tally"), "{outcome:?}");
    drop(held);
    assert_eq!(other.tally_online(&["audit", "--once", "--mirror", mirror.to_str().unwrap()]).status, 0);
}

#[test]
fn a_damaged_copy_is_audited_again() {
    let world = base().world();
    let _server = serve(&world);
    assert_eq!(audit(&world, &[]).status, 0);
    let copy = world.path("cache/audit/copy");
    let bundle = copy.join(format!("tile/entries/000.p/{}", world.leaves.len()));
    for (path, bytes) in [(&bundle, b"damaged".as_slice()), (&copy.join(".audited"), b"13 x\n")] {
        std::fs::write(path, bytes).unwrap();
        let outcome = audit(&world, &[]);
        assert!(outcome.status == 0 && outcome.stderr.contains("is damaged; the whole log is audited again"), "{outcome:?}");
        assert_eq!(said(&outcome).0, ["notice roles"]);
    }
}

/// All objects below a directory that a log serves, by path.
fn objects(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let output = Command::new("find").args([".", "-type", "f", "-not", "-path", "./.*"]).current_dir(dir).output().unwrap();
    let mut paths: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(dir.join(path)).unwrap())).collect()
}

/// Claims of builder-1 about so many packages, and a stranger's once in 16,500 entries, which is about once a round.
fn long_log(entries: usize) -> World {
    let mut world = base().world();
    let manifest = base().manifest("basic").1;
    for number in 0..entries {
        let who = if number % 16_500 == 100 { "stranger" } else { "builder-1" };
        world.claim(who, &purl(&format!("p{number}")), &manifest);
        world.manifests.pop();
    }
    world
}

/// Audits into a mirror, killed after this time if it has not ended; status and standard output.
fn mirrored(world: &World, mirror: &Path, kill: Option<Duration>) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tally"));
    command.arg("--config").arg(world.path("tally.toml")).args(["audit", "--once", "--json", "--mirror"]).arg(mirror);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    if let Some(time) = kill {
        std::thread::sleep(time);
        let _ = child.kill();
    }
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

/// Kills it `most` times after at most `longest` and lets it end; how often it was killed, and everything that it said.
fn killed_often(world: &World, mirror: &Path, most: usize, longest: Duration) -> (usize, String) {
    let mut random = u64::from(std::process::id()) | 1;
    println!("moments from seed {random}");
    let (mut told, mut kills) = (String::new(), 0);
    loop {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let time = Duration::from_micros(random % u64::try_from(longest.as_micros()).unwrap());
        let (status, said) = mirrored(world, mirror, (kills < most).then_some(time));
        told.push_str(&said);
        if let Some(status) = status {
            assert_eq!(status, 1, "{told}");
            println!("{kills} kills");
            return (kills, told);
        }
        kills += 1;
    }
}

fn alarms(text: &str) -> usize {
    text.lines().filter(|line| line.contains("\"inadmissible\"")).count()
}

#[test]
fn killed_at_any_moment_it_goes_on_and_forgets_nothing() {
    let world = long_log(17_000);
    let server = serve(&world);
    let (mirror, other) = (world.path("mirror"), world.path("other"));
    let (kills, told) = killed_often(&world, &mirror, 8, Duration::from_millis(1_500));
    assert!(kills > 0 && alarms(&told) >= 2, "every alarm is told at least once: {told}");
    let (status, again) = mirrored(&world, &mirror, None);
    assert_eq!((status, alarms(&again)), (Some(0), 0), "and then not again");
    // The same copy as that of an auditor that nobody killed.
    std::fs::remove_dir_all(world.path("cache")).unwrap();
    let (status, said) = mirrored(&world, &other, None);
    assert_eq!((status, alarms(&said)), (Some(1), 2), "{said}");
    // The second round cannot be read: what the first one gave is told all the same, and only once.
    std::fs::remove_dir_all(world.path("cache")).unwrap();
    server.hide("tile/entries/065");
    let cut = world.path("cut");
    let (status, said) = mirrored(&world, &cut, None);
    assert_eq!((status, alarms(&said)), (Some(14), 1), "{said}");
    server.show(&world.leaves, &world.head(), &world.manifests);
    let (status, said) = mirrored(&world, &cut, None);
    assert_eq!((status, alarms(&said)), (Some(1), 1), "{said}");
    let (kept, whole) = (objects(&mirror), objects(&other));
    assert_eq!(kept.iter().map(|(path, _)| path).collect::<Vec<_>>(), whole.iter().map(|(path, _)| path).collect::<Vec<_>>());
    assert!(kept == whole);
}

#[test]
#[ignore = "a million entries take minutes and gigabytes: make audit-large"]
fn a_large_log_is_audited_and_mirrored_whatever_kills_it() {
    let entries = std::env::var("TALLY_AUDIT_ENTRIES").map_or(1_000_000, |entries| entries.parse().unwrap());
    let world = long_log(entries);
    let server = serve(&world);
    let (mirror, other) = (world.path("mirror"), world.path("other"));
    let started = Instant::now();
    assert_eq!(mirrored(&world, &other, None).0, Some(1));
    let seconds = started.elapsed().as_secs_f64();
    let size = world.leaves.len();
    println!("{size} entries with their signatures in {seconds:.1} s: {:.0}/s, the server on the same machine", size as f64 / seconds);
    let started = Instant::now();
    assert_eq!(mirrored(&world, &other, None).0, Some(0));
    println!("a start over {size} entries that were audited before: {:.1} s", started.elapsed().as_secs_f64());
    std::fs::remove_dir_all(world.path("cache")).unwrap();
    let (kills, told) = killed_often(&world, &mirror, 20, Duration::from_secs_f64(seconds / 3.0));
    assert!(kills > 0 && alarms(&told) >= entries.div_ceil(16_500).saturating_sub(1));
    let root = |dir: &Path| std::fs::read_to_string(dir.join("checkpoint")).unwrap().lines().take(3).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!((root(&mirror), objects(&mirror) == objects(&other)), (root(&other), true), "the same root, and the same bytes");
    // A static file server over it, when the log is gone.
    drop(server);
    let (_files, url) = static_server(&mirror);
    world.configure_log(RULES, &url);
    std::fs::remove_dir_all(world.path("cache")).unwrap();
    let root = base().root();
    let synced = world::served::sync(&world, &root, &["--full"]);
    assert_eq!(synced.status, 0, "{synced:?}");
    let verified = world.verify(root.path());
    assert_eq!((verified.status, verified.findings(false)), (0, Vec::new()), "{verified:?}");
}

/// A static file server that knows nothing of logs, and its URL.
fn static_server(dir: &Path) -> (Ended, String) {
    let mut command = Command::new("python3");
    command.args(["-u", "-c", SERVE]).arg(dir);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut port = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
    (Ended(child), format!("http://127.0.0.1:{}", port.trim()))
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const SERVE: &str = "
import functools, http.server, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
handler = functools.partial(Handler, directory=sys.argv[1])
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
print(server.server_address[1])
server.serve_forever()
";
