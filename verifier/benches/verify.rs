//! How fast `tally verify --all` is on this machine's own packages, beside what only reads or only hashes the same files.
//!
//! The claims are made here from the files as they are installed, so that every package is attested: this measures speed and says
//! nothing about the machine. All files are read once before, so that they are cached; at the end `tally` and `cat` run once more each after
//! the cache was emptied, where the system allows that. `VERIFY_BENCH_SLOW=1` adds `debsums -as` and `dpkg -V`, which take minutes.
//! Each of the others runs three times, in turn; the median counts.

#[path = "../tests/world/mod.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use attest::manifest::{Attributes, Class, ManifestBuilder, Node};
use attest::{Manifest, Purl};
use aws_lc_rs::digest::{SHA256, digest};
use package::dpkg::{Diversion, parse_diversions};
use serde_json::json;
use tlog::Hash;
use world::World;

fn main() {
    let mut world = World::new();
    let mut files = Files::default();
    let diversions = parse_diversions(&fs::read("/var/lib/dpkg/diversions").unwrap_or_default(), "diversions").expect("diversions");
    for package in installed() {
        let Some((purl, manifest)) = claimed(&package, &diversions, &mut files) else { continue };
        for builder in ["builder-1", "builder-2"] {
            world.claim(builder, &purl, &manifest);
        }
    }
    world.fill_cache(world.head());
    let list = world.path("files");
    fs::File::create(&list).and_then(|mut file| file.write_all(&files.list)).expect("a list of files");
    let shell = |script: &str| seconds(Command::new("bash").arg("-c").arg(script).env("LIST", &list));
    shell(CAT);
    let mut runs: Vec<(f64, f64)> = Vec::new();
    let mut others: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for _ in 0..RUNS {
        runs.push(verify(&world));
        for (name, script) in OTHERS {
            others.entry(name).or_default().push(shell(script));
        }
    }
    let times: Vec<f64> = runs.iter().map(|run| run.0).collect();
    let (taken, cat) = (median(&times), median(&others["cat_seconds"]));
    let report = world.tally(&["verify", "--all", "--offline", "--json"]).json();
    let mut result = json!({
        "packages": report["packages"],
        "files": files.count,
        "bytes": files.bytes,
        "bytes_read_in_each_run": report["files"]["bytes"],
        "findings": report["counts"],
        "seconds": taken,
        "seconds_of_each_run": times,
        "ratio_to_cat": taken / cat,
        "ratio_to_openssl": taken / median(&others["openssl_x2_seconds"]),
        "max_rss_mb": runs.iter().map(|run| run.1).fold(0.0, f64::max),
    });
    let mut tell = |name: &str, value: Option<f64>| result[name] = json!(value);
    others.iter().for_each(|(name, times)| tell(name, Some(median(times))));
    let slow = std::env::var_os("VERIFY_BENCH_SLOW").is_some();
    // What is not there takes no time either.
    let is_there = Command::new("debsums").arg("--version").output().is_ok_and(|output| output.status.success());
    tell("debsums_seconds", (slow && is_there).then(|| shell("debsums -as > /dev/null 2>&1")));
    tell("dpkg_verify_seconds", slow.then(|| shell("dpkg -V > /dev/null 2>&1")));
    let cold = |run: &dyn Fn() -> f64| empty_cache().then(run);
    tell("cold_seconds", cold(&|| verify(&world).0));
    tell("cold_cat_seconds", cold(&|| shell(CAT)));
    println!("{result}");
}

const RUNS: usize = 3;
const CAT: &str = "xargs -0 cat < $LIST > /dev/null";
const OTHERS: [(&str, &str); 4] = [
    ("cat_seconds", CAT),
    ("cat_x2_seconds", "xargs -0 -P2 -n 500 cat < $LIST > /dev/null"),
    ("openssl_x2_seconds", "xargs -0 -P2 -n 500 openssl dgst -sha256 < $LIST > /dev/null"),
    ("sha256sum_x2_seconds", "xargs -0 -P2 -n 500 sha256sum < $LIST > /dev/null"),
];

fn median(times: &[f64]) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// What was written is written out first; only clean pages are given back.
fn empty_cache() -> bool {
    rustix::fs::sync();
    fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}

fn seconds(command: &mut Command) -> f64 {
    let begun = Instant::now();
    command.stdin(Stdio::null()).status().expect("a program that runs");
    begun.elapsed().as_secs_f64()
}

/// Seconds and MiB of one verification.
fn verify(world: &World) -> (f64, f64) {
    const MEASURE: &str = "import resource, subprocess, sys\n\
        subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)\n\
        print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";
    let begun = Instant::now();
    let output = Command::new("python3")
        .args(["-c", MEASURE, env!("CARGO_BIN_EXE_tally"), "--config"])
        .arg(world.path("tally.toml"))
        .args(["verify", "--all", "--offline", "--json"])
        .output()
        .expect("python3");
    let taken = begun.elapsed().as_secs_f64();
    let kib: f64 = String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number");
    (taken, kib / 1024.0)
}

/// The distinct regular files that are attested, for `xargs -0`.
#[derive(Default)]
struct Files {
    seen: BTreeSet<(u64, u64)>,
    list: Vec<u8>,
    count: u64,
    bytes: u64,
}

struct Package {
    name: String,
    version: String,
    architecture: String,
    /// Beginning of its files in dpkg's folder.
    info: PathBuf,
}

fn installed() -> Vec<Package> {
    let format = "${db:Status-Abbrev}|${Package}|${Version}|${Architecture}|${binary:Package}\n";
    let output = Command::new("dpkg-query").args(["-W", "-f", format]).output().expect("dpkg-query");
    let text = String::from_utf8(output.stdout).expect("names");
    let package = |line: &str| {
        let [status, name, version, architecture, binary] = line.split('|').collect::<Vec<_>>().try_into().ok()?;
        let info = Path::new("/var/lib/dpkg/info").join(binary);
        let package = Package { name: name.into(), version: version.into(), architecture: architecture.into(), info };
        status.starts_with("ii").then_some(package)
    };
    text.lines().filter_map(package).collect()
}

fn lines(package: &Package, end: &str) -> BTreeSet<Vec<u8>> {
    let mut file = package.info.clone().into_os_string();
    file.push(end);
    let text = fs::read(file).unwrap_or_default();
    text.split(|byte| *byte == b'\n').filter(|line| line.len() > 1).map(<[u8]>::to_vec).collect()
}

/// What a package would claim if it had shipped its files as they are now.
fn claimed(package: &Package, diversions: &[Diversion], files: &mut Files) -> Option<(Purl, Manifest)> {
    let (paths, conffiles) = (lines(package, ".list"), lines(package, ".conffiles"));
    let mut builder = ManifestBuilder::new(Hash::digest(format!("{}_{}", package.name, package.version).as_bytes()));
    for path in &paths {
        let class = if conffiles.contains(path) { Class::Config } else { Class::Fixed };
        // Directories, and links to them in a merged /usr, become implied parents.
        let moved = diversions.iter().find(|moved| moved.from == path[1..] && moved.by.as_deref() != Some(&package.name));
        let place = moved.map_or_else(|| path.clone(), |moved| [b"/", moved.to.as_slice()].concat());
        let Some((node, attributes, caps)) = entry(&place, files) else { continue };
        builder.push(&path[1..], node, attributes, class, caps).ok()?;
    }
    let purl = Purl::deb("debian", &package.name, &package.version, &package.architecture).ok()?;
    Some((purl, builder.finish().ok()?))
}

fn entry(path: &[u8], files: &mut Files) -> Option<(Node, Attributes, Option<Vec<u8>>)> {
    let file = Path::new(std::ffi::OsStr::from_bytes(path));
    let metadata = fs::symlink_metadata(file).ok().filter(|_| !file.is_dir())?;
    let attributes = Attributes {
        mode: metadata.permissions().mode() & 0o7777,
        uname: name("passwd", metadata.uid()),
        gname: name("group", metadata.gid()),
    };
    if metadata.is_symlink() {
        return Some((Node::Link(fs::read_link(file).ok()?.as_os_str().as_bytes().to_vec()), attributes, None));
    }
    let content = fs::read(file).ok().filter(|_| metadata.is_file())?;
    if files.seen.insert((metadata.dev(), metadata.ino())) {
        files.list.extend_from_slice(path);
        files.list.push(0);
        files.count += 1;
        files.bytes += content.len() as u64;
    }
    let sha256 = Hash::new(digest(&SHA256, &content).as_ref().try_into().ok()?);
    let mut caps = [0; 64];
    let length = rustix::fs::getxattr(file, c"security.capability", &mut caps[..]).ok();
    let caps = length.map(|length| caps[..length].to_vec());
    Some((Node::File { size: content.len() as u64, sha256 }, attributes, caps))
}

/// The name of a user or group.
fn name(table: &str, id: u32) -> String {
    use std::sync::OnceLock;
    static TABLES: OnceLock<BTreeMap<(String, u32), String>> = OnceLock::new();
    let tables = TABLES.get_or_init(|| {
        let mut all = BTreeMap::new();
        for table in ["passwd", "group"] {
            for line in fs::read_to_string(Path::new("/etc").join(table)).unwrap_or_default().lines() {
                let fields: Vec<&str> = line.split(':').collect();
                if let [name, _, id, ..] = fields[..]
                    && let Ok(id) = id.parse()
                {
                    all.entry((table.to_owned(), id)).or_insert_with(|| name.to_owned());
                }
            }
        }
        all
    });
    tables.get(&(table.to_owned(), id)).cloned().unwrap_or_else(|| id.to_string())
}
