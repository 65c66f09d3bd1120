//! Packages made by the real rpmbuild: rpm itself, rpm2cpio and bsdtar must say the same about them as we do.

mod support;

use attest::Manifest;
use attest::manifest::{Class, Entry, Node};
use package::deb::Limits;
use package::rpm::{Error, RpmPackage, read};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use support::{SID, Suite, have, holds_for, repository, run};

/// Packages, and the rpm that made them.
struct Built {
    directory: PathBuf,
    /// A root that it runs in, or none for this machine's own.
    suite: Option<Suite>,
    _dir: Option<tempfile::TempDir>,
}

impl Built {
    fn new() -> Option<Self> {
        if !["rpmbuild", "rpm", "rpm2cpio", "bsdtar"].into_iter().all(have) {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        run(Command::new(repository("testdata/packages/build-rpm.sh")).arg(directory.path()));
        Some(Self { directory: directory.path().to_owned(), suite: None, _dir: Some(directory) })
    }

    /// By Debian's newest rpm, in one of its formats.
    fn of_today(format: &str) -> Self {
        let suite = Suite::new(SID[0], SID[1]);
        fs::copy(repository("testdata/packages/build-rpm.sh"), suite.root().join("build.sh")).unwrap();
        run(suite.program("bash").args(["/build.sh", "/built", format]));
        Self { directory: suite.root().join("built"), suite: Some(suite), _dir: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.rpm"))
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// A program of the same rpm, where package files are found by their names.
    fn tool(&self, program: &str) -> Command {
        match &self.suite {
            None => {
                let mut command = Command::new(program);
                command.current_dir(&self.directory);
                command
            }
            Some(suite) => {
                let mut command = suite.program("env");
                command.args(["--chdir=/built", program]);
                command
            }
        }
    }
}

/// All in one test, so that the packages are built once.
#[test]
fn packages_of_the_real_rpmbuild() {
    let Some(built) = Built::new() else { return };
    try_all(&built);
}

#[test]
#[ignore = "bootstraps a Debian root with the newest rpm: run `make roots`"]
fn packages_of_todays_rpmbuild() {
    for format in ["4", "6"] {
        let built = Built::of_today(format);
        let said = run(built.tool("rpm").args(["-qp", "--qf", "%{RPMFORMAT} %{RPMVERSION}", "sample-zstd.rpm"])).stdout;
        println!("format and version of rpm: {}", String::from_utf8_lossy(&said));
        assert!(said.starts_with(format.as_bytes()) || format == "4" && said.starts_with(b"(none)"), "{said:?}");
        try_all(&built);
        if format == "6" {
            format_6_keeps_its_rules(&built);
        }
    }
}

fn try_all(built: &Built) {
    for name in ["sample-gzip", "sample-xz", "sample-zstd", "many", "empty"] {
        let package = read(&built.bytes(name)[..], &Limits::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(Manifest::parse(&package.manifest.encode()).as_ref(), Ok(&package.manifest), "{name}");
        rpm_says_the_same(built, name, &package);
        the_unpacked_files_are_the_same(built, name, &package.manifest);
    }
    the_lines_are_as_foretold(built);
    refusals(built);
    every_cut_and_flip_is_noticed(built);
    signing_again_leaves_the_identity(built);
}

/// Where the newer format forbids what the older one leaves open. Digests stand in the way of a changed header, so they are taken along.
fn format_6_keeps_its_rules(built: &Built) {
    let good = built.bytes("sample-gzip");
    let tag = |number: u32| number.to_be_bytes();
    let entry = |number: u32, kind: u32| [tag(number), tag(kind)].concat();
    let find = |bytes: &[u8], wanted: &[u8]| bytes.windows(wanted.len()).position(|window| window == wanted).unwrap();
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        let before = header_digest(&bytes);
        let place = find(&bytes, before.as_bytes());
        change(&mut bytes);
        let after = header_digest(&bytes);
        bytes[place..place + 64].copy_from_slice(after.as_bytes());
        read(&bytes[..], &Limits::default())
    };
    assert!(changed(&|_| {}).is_ok());
    let refused = |words: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let error = changed(change).expect_err(words).to_string();
        assert!(error.contains(words), "{words}: {error}");
    };
    // Tags that nobody knows take the place of those that must be there.
    refused("tag 5092 of the header is missing", &|bytes| {
        let at = find(bytes, &entry(5092, 8));
        bytes[at..at + 4].copy_from_slice(&tag(5093 + 4000));
    });
    refused("tag 5114 of the header names a format other than 4 and 6", &|bytes| {
        let at = find(bytes, &entry(5114, 4));
        let data = number(bytes, at + 8) + data_of_header(bytes);
        bytes[data + 3] = 7;
    });
    let mut bytes = good.clone();
    let at = find(&bytes, &entry(273, 6));
    bytes[at..at + 4].copy_from_slice(&tag(275));
    let error = read(&bytes[..], &Limits::default()).unwrap_err().to_string();
    assert!(error.contains("format 6 without its header's SHA-256"), "{error}");
    // Its header, and behind it the archive of the other format, which names files by their paths.
    let four = Built::of_today("4").bytes("sample-gzip");
    let error = read(&[&good[..payload_of(&good)], &four[payload_of(&four)..]].concat()[..], &Limits::default()).unwrap_err().to_string();
    assert!(error.contains("an entry by its path in a package of format 6"), "{error}");
}

fn number(bytes: &[u8], at: usize) -> usize {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

/// Where the header begins that follows the signature header.
fn header_of(bytes: &[u8]) -> usize {
    (96 + 16 + 16 * number(bytes, 104) + number(bytes, 108)).next_multiple_of(8)
}

fn data_of_header(bytes: &[u8]) -> usize {
    header_of(bytes) + 16 + 16 * number(bytes, header_of(bytes) + 8)
}

fn payload_of(bytes: &[u8]) -> usize {
    data_of_header(bytes) + number(bytes, header_of(bytes) + 12)
}

fn header_digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(&bytes[header_of(bytes)..payload_of(bytes)]))
}

/// One line a file, as rpm's own query tells it.
fn rpm_says_the_same(built: &Built, name: &str, package: &RpmPackage) {
    let file = built.path(name);
    let query = |format: &str| run(built.tool("rpm").args(["-qp", "--nosignature", "--qf", format, &format!("{name}.rpm")])).stdout;
    // Version 6 has another name for it.
    let payload = if built.suite.is_some() { "PAYLOADSHA256" } else { "PAYLOADDIGEST" };
    let about = query(&format!("%{{NAME}} %{{EPOCHNUM}} %{{VERSION}}-%{{RELEASE}} %{{ARCH}} %{{SHA256HEADER}} %{{{payload}}}"));
    let about = String::from_utf8(about).unwrap();
    let identity = &package.identity;
    let ours = format!(
        "{} {} {} {} {} {}",
        identity.name, identity.epoch, identity.version, identity.architecture, package.header, package.payload
    );
    assert_eq!(ours, about);
    let source = String::from_utf8(query("%{SOURCERPM}")).unwrap();
    let ours = package.source.as_ref().map(|(name, version)| format!("{name}-{version}"));
    assert_eq!(ours.as_deref(), source.strip_suffix(".src.rpm"));
    assert_eq!(package.sha256.to_hex(), hex::encode(Sha256::digest(fs::read(&file).unwrap())));
    let lines = query(
        "[%{FILEMODES}\t%{FILEUSERNAME}\t%{FILEGROUPNAME}\t%{FILEFLAGS}\t%{FILEVERIFYFLAGS}\t%{LONGFILESIZES}\t%{FILEDIGESTS}\t%{FILELINKTOS}\t%{FILECAPS}\t%{FILELANGS}\t%{FILENAMES}\n]",
    );
    let mut told = 0;
    for line in lines.split(|byte| *byte == b'\n').filter(|line| line.contains(&b'\t')) {
        let fields: Vec<&[u8]> = line.splitn(11, |byte| *byte == b'\t').collect();
        let text = |at: usize| Some(std::str::from_utf8(fields[at]).unwrap()).filter(|text| *text != "(none)").unwrap_or_default();
        let path = &fields[10][1..];
        let entry = package.manifest.entry(path).unwrap_or_else(|| panic!("{} has no line", path.escape_ascii()));
        assert_eq!(told_class(text(3), text(4), text(0), text(9), path), entry.class, "{}", path.escape_ascii());
        compare_with_query(entry, &text);
        told += 1;
    }
    let ours = package.manifest.entries().iter().filter(|entry| entry.class != Class::Implied).count();
    assert_eq!(told, ours, "{}", file.display());
}

fn compare_with_query<'a>(entry: &Entry, text: &dyn Fn(usize) -> &'a str) {
    let mode: u32 = text(0).parse().unwrap();
    let attributes = entry.attributes.as_ref().unwrap();
    assert_eq!((attributes.uname.as_str(), attributes.gname.as_str()), (text(1), text(2)), "{}", entry.escaped_path());
    if !matches!(entry.node, Node::Link(_)) {
        assert_eq!(attributes.mode, mode & 0o7777, "{}", entry.escaped_path());
    }
    match &entry.node {
        Node::File { size, sha256 } => assert_eq!((size.to_string().as_str(), sha256.to_hex().as_str()), (text(5), text(6))),
        Node::Link(target) => assert_eq!(target, text(7).as_bytes()),
        _ => {}
    }
    assert_eq!(entry.caps.is_some(), !text(8).is_empty() && matches!(entry.node, Node::File { .. }), "{}", entry.escaped_path());
}

/// The rule of the page, written once more from its table.
fn told_class(flags: &str, verify: &str, mode: &str, language: &str, path: &[u8]) -> Class {
    let (flags, verify): (u64, u64) = (flags.parse().unwrap(), verify.parse().unwrap());
    let kind = mode.parse::<u32>().unwrap() & 0o170_000;
    let (file, link) = (kind == 0o100_000, kind == 0o120_000);
    if flags & 64 != 0 || (file && verify & 1 == 0) || (link && verify & 4 == 0) {
        return Class::NoVerify;
    }
    if (file || link) && flags & 1 != 0 {
        return Class::Config;
    }
    let doc = ["usr/share/doc", "usr/share/info", "usr/share/locale", "usr/share/man"];
    let placed = doc.iter().any(|place| path == place.as_bytes() || path.starts_with(format!("{place}/").as_bytes()));
    if flags & (2 | 8 | 256 | 4096) != 0 || !language.is_empty() || placed { Class::Optional } else { Class::Fixed }
}

/// rpm2cpio and bsdtar unpack the payload; every line must hold for what they make of it.
fn the_unpacked_files_are_the_same(built: &Built, name: &str, manifest: &Manifest) {
    let directory = tempfile::tempdir().unwrap();
    let mut cpio = built.tool("rpm2cpio").arg(format!("{name}.rpm")).stdout(Stdio::piped()).spawn().unwrap();
    run(Command::new("bsdtar").args(["-xpf", "-", "-C"]).arg(directory.path()).stdin(cpio.stdout.take().unwrap()));
    assert!(cpio.wait().unwrap().success());
    holds_for(manifest, directory.path());
}

fn the_lines_are_as_foretold(built: &Built) {
    let package = read(&built.bytes("sample-zstd")[..], &Limits::default()).unwrap();
    let text = String::from_utf8(package.manifest.encode()).unwrap();
    let lines: HashMap<&str, &str> = text.lines().filter_map(|line| line.split_once(' ')).collect();
    let has = |path: &str, words: &[&str]| {
        let line = lines.get(path).unwrap_or_else(|| panic!("{path} has no line"));
        words.iter().for_each(|word| assert!(format!(" {line} ").contains(&format!(" {word} ")), "{path}: {line}"));
    };
    has("./usr/bin/suid", &["mode=04755", "tags=fixed"]);
    has("./usr/bin/capable", &["tags=fixed,caps.0100000200200000000000000000000000000000"]);
    has("./usr/lib/sample/one", &["tags=fixed,hardlink.1"]);
    has("./usr/lib/sample/two", &["tags=fixed,hardlink.1"]);
    has("./usr/share/doc/sample/three", &["optional", "tags=optional,hardlink.1"]);
    has("./usr/lib/sample/a\\040b\\377", &["size=8", "tags=fixed"]);
    has("./usr/lib/sample/odd-link", &["link=a\\040b"]);
    has("./usr/lib/sample/pipe", &["type=fifo"]);
    has("./dev/sample", &["type=char", "mode=0666", "device=0x103"]);
    has("./srv/sample", &["type=dir", "mode=02750", "uname=daemon", "gname=mail", "tags=fixed"]);
    has("./etc/sample.conf", &["tags=config"]);
    has("./etc/sample.d/kept.conf", &["tags=config"]);
    has("./etc/sample.d/away.conf", &["tags=config"]);
    has("./usr/lib/sample/cache", &["size=21", "optional", "tags=noverify"]);
    has("./usr/share/doc/sample/README", &["optional", "tags=optional"]);
    has("./usr/lib/sample/LICENSE", &["tags=fixed"]);
    has("./usr/lib/sample/de.txt", &["tags=optional"]);
    has("./usr/lib/sample/artifact", &["tags=optional"]);
    has("./var/log/sample/log", &["type=file", "mode=0644", "optional", "tags=noverify"]);
    has("./run/sample", &["type=dir", "tags=noverify"]);
    has("./usr/lib/sample/ghost-link", &["type=file", "tags=noverify"]);
    has("./usr/bin", &["type=dir", "tags=implied"]);
    assert!(!lines["./var/log/sample/log"].contains("size="));
    for name in ["sample-gzip", "sample-xz"] {
        let other = read(&built.bytes(name)[..], &Limits::default()).unwrap();
        assert_eq!(other.manifest.entries(), package.manifest.entries(), "{name}");
    }
}

fn refused(bytes: &[u8], limits: &Limits) -> Error {
    read(bytes, limits).expect_err("must be refused")
}

fn refusals(built: &Built) {
    let good = built.bytes("sample-gzip");
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        refused(&bytes, &Limits::default()).to_string()
    };
    let says = |error: String, words: &str| assert!(error.contains(words), "{words}: {error}");
    says(refused(b"!<arch>\n", &Limits::default()).to_string(), "not an rpm package");
    says(refused(&built.bytes("source"), &Limits::default()).to_string(), "a source package");
    says(changed(&|bytes| bytes[4] = 5), "version is another");
    says(changed(&|bytes| bytes[79] = 1), "kind of signature");
    says(changed(&|bytes| bytes[96] = 0), "no signature header");
    says(changed(&|bytes| bytes.push(0)), "bytes follow the compressed stream");
    let last = good.len() - 1;
    says(changed(&|bytes| bytes[last] ^= 1), "damaged");
    let limits = |change: &dyn Fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        refused(&good, &limits).to_string()
    };
    says(limits(&|limits| limits.package = 2000), "larger than the limit of 2000 bytes");
    says(limits(&|limits| limits.header = 1000), "header is larger than the limit of 1000 bytes");
    says(limits(&|limits| limits.entries = 5), "sample 1.0~rc1-2.fc40 x86_64: more files than the limit of 5");
    says(limits(&|limits| limits.payload = 1000), "content is larger than the limit of 1000 bytes");
    says(limits(&|limits| limits.path = 10), "is too long");
}

/// Everything after the lead stands under a digest that is compared, or is the signature header, which says nothing of the files.
fn every_cut_and_flip_is_noticed(built: &Built) {
    let bytes = built.bytes("sample-gzip");
    let whole = read(&bytes[..], &Limits::default()).unwrap();
    for cut in (0..bytes.len()).step_by(7) {
        assert!(read(&bytes[..cut], &Limits::default()).is_err(), "cut at {cut}");
    }
    let header = header_of(&bytes);
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for at in (0..bytes.len()).step_by(6) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (random % 8);
        match read(&flipped[..], &Limits::default()) {
            Ok(package) => {
                assert!(at < header, "byte {at} of the header or payload was changed unseen");
                assert_eq!((package.header, package.payload), (whole.header, whole.payload), "byte {at}");
                assert_ne!(package.manifest.root(), whole.manifest.root(), "byte {at}");
            }
            Err(error) => drop(error.to_string()),
        }
    }
}

/// Another signature header: the file is another, the package is the same.
fn signing_again_leaves_the_identity(built: &Built) {
    let bytes = built.bytes("sample-gzip");
    let before = read(&bytes[..], &Limits::default()).unwrap();
    run(built.tool("rpmsign").args(["--delsign", "sample-gzip.rpm"]));
    let mut stripped = built.bytes("sample-gzip");
    // A lead is free to say another name.
    stripped[10] ^= 1;
    let after = read(&stripped[..], &Limits::default()).unwrap();
    assert_ne!(before.sha256, after.sha256);
    assert_eq!((before.header, before.payload, &before.identity), (after.header, after.payload, &after.identity));
    assert_eq!(before.manifest.entries(), after.manifest.entries());
    assert_ne!(before.manifest.root(), after.manifest.root());
}
