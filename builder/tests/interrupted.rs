//! Runs that are killed or meet full and read-only disks. Needs root, Podman, mmdebstrap and this machine's own apt sources.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::containers::{Builder, DEBIAN, alone, bootstrap, containers_of, images_of, local_builder};
use support::repository::Repository;

fn is_running(builder: &Builder) -> bool {
    let filter = format!("label=dev.tallystick.builder={}", builder.dir.display());
    let arguments = ["ps", "--quiet", "--filter", "status=running", "--filter", &filter];
    !support::tool(Command::new("podman").args(arguments)).is_empty()
}

fn holds(dir: &Path, part: &str) -> bool {
    let named = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().contains(part));
    fs::read_dir(dir).into_iter().flatten().flatten().any(|entry| named(&entry.path()))
}

/// Kills the builder when it has come to a stage. On a busy machine a short stage can pass unseen; then it is run again.
fn kill_when(builder: &Builder, packages: &[&str], is_so: &dyn Fn() -> bool, what: &str) {
    let seen = (0..5).any(|_| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tally-builder"))
            .args(["attest", "--config", &builder.config])
            .args(packages)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Instant::now();
        let seen = loop {
            if is_so() {
                break true;
            }
            if child.try_wait().unwrap().is_some() {
                break false;
            }
            assert!(started.elapsed().as_secs() < 300, "it hangs before this: {what}");
            std::thread::sleep(Duration::from_millis(20));
        };
        child.kill().unwrap();
        child.wait().unwrap();
        seen
    });
    assert!(seen, "it never came to this: {what}");
    println!("killed: {what}");
}

/// Killed at every stage, it says everything once in the end, and leaves neither containers nor images nor files behind.
#[test]
fn killed_at_any_stage_nothing_is_lost_or_left() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    // Made before, so that the stages come soon.
    let maker = Builder::new(dir.path(), "maker", &format!("{DEBIAN}observe = false\n{}", bootstrap()));
    assert!(maker.attest(&["hostname"]).status.success());
    let builder = Builder::new(dir.path(), "killed", &format!("{DEBIAN}observe_runs = 1\n{}", bootstrap()));
    let packages = ["hostname", "libacl1"];
    let (work, spool) = (builder.dir.join("work"), builder.dir.join("spool"));
    let imports = || fs::read_dir(&work).into_iter().flatten().flatten().any(|entry| holds(&entry.path(), "api_load.tar"));
    let claims = || builder.spooled().iter().filter(|(statement, _)| statement.kind().short_name() == "package-files/v1").count();
    let stages: [(&str, &dyn Fn() -> bool); 6] = [
        ("Podman's service starts", &|| holds(&work, "podman-")),
        ("an image is imported", &imports),
        ("scratch files are made", &|| holds(&work, "run-")),
        ("a container runs", &|| is_running(&builder)),
        ("claims are in the spool", &|| claims() > 0),
        ("a package is installed", &|| claims() >= 2 && is_running(&builder)),
    ];
    for (what, is_so) in stages {
        for entry in fs::read_dir(&spool).unwrap().flatten().filter(|entry| entry.path().is_file()) {
            fs::remove_file(entry.path()).unwrap();
        }
        kill_when(&builder, &packages, is_so, what);
    }
    let killed_with = claims();
    let output = builder.attest(&packages);
    assert!(output.status.success(), "{}", support::text(&output));
    assert!(killed_with >= 2);
    assert_eq!(builder.said_of_packages().len(), 4 * packages.len());
    assert_eq!((containers_of(&builder).as_str(), images_of(&builder)), ("", vec![builder.image()]));
    assert_eq!(fs::read_dir(&work).unwrap().count(), 0);
    let served = Command::new("pgrep").args(["-f", &format!("podman system service.*{}", work.display())]).output().unwrap();
    assert_eq!(String::from_utf8(served.stdout).unwrap(), "", "a service goes on");
    let cleaned = support::tally_builder(&["clean", "--config", &builder.config], 60);
    assert!(cleaned.status.success(), "{}", support::text(&cleaned));
    assert_eq!(images_of(&builder), Vec::<String>::new());
}

/// A file system in memory, of a size that can be changed.
struct Disk(PathBuf);

impl Disk {
    fn mount(path: &Path, megabytes: u32) -> Self {
        fs::create_dir(path).unwrap();
        support::tool(Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={megabytes}m,mode=755"), "tmpfs"]).arg(path));
        Self(path.to_owned())
    }

    fn remount(&self, options: &str) {
        support::tool(Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.0));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A test that failed may have left something open there.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// A disk that is too small, then read-only, then good: clear errors, and what was said stays.
#[test]
fn a_full_and_a_read_only_disk_lose_nothing() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let mut repository = Repository::new(dir.path());
    repository.add("small", "1.0", "content\n", "exit 0");
    let noise: String = (0..200_000_u32).map(|number| tlog::Hash::digest(&number.to_be_bytes()).to_hex()).collect();
    repository.add("large", "1.0", &noise, "exit 0");
    repository.publish(&repository.release(""), "archive", &[]);
    let disk = Disk::mount(&dir.path().join("local"), 900);
    let builder = local_builder(dir.path(), &repository, "", "observe_runs = 1\n");
    let failed = |output: &std::process::Output, why: &str| {
        let text = support::text(output);
        assert!(output.status.code() == Some(10) && text.contains(why) && text.contains("hint: "), "{text}");
    };
    let output = builder.attest(&["small"]);
    assert!(output.status.success(), "{}", support::text(&output));
    let before = builder.said();
    assert_eq!(builder.said_of_packages().len(), 4);
    let filler = builder.dir.join("filler");
    // All but four megabytes.
    support::tool(
        Command::new("sh")
            .args(["-c", "head -c $(($(df --output=avail -B1 . | tail -1) - 4194304)) /dev/zero >filler"])
            .current_dir(&builder.dir),
    );
    failed(&builder.attest(&["large", "small"]), "No space left on device");
    assert_eq!((builder.said(), containers_of(&builder).as_str()), (before.clone(), ""));
    disk.remount("ro");
    failed(&builder.attest(&["small"]), "Read-only file system");
    failed(&support::tally_builder(&["spool", "list", "--config", &builder.config], 30), "Read-only file system");
    assert_eq!(builder.said(), before);
    disk.remount("rw");
    fs::remove_file(filler).unwrap();
    let output = builder.attest(&["large", "small"]);
    assert!(output.status.success(), "{}", support::text(&output));
    assert_eq!((builder.said_of_packages().len(), fs::read_dir(builder.dir.join("work")).unwrap().count()), (8, 0));
}
