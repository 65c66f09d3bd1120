//! Which crate may import which: the picture in ARCHITECTURE.md, held by a test.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// For each crate of ours, the crates of ours that it may name in `[dependencies]`.
const ARROWS: &[(&str, &[&str])] = &[
    ("tlog", &[]),
    ("store", &[]),
    ("attest", &["tlog"]),
    ("package", &["attest"]),
    ("client", &["tlog", "attest", "store"]),
    // Loads foreign modules, which who judges must not: `tally` has no arrow to it.
    ("custody", &["tlog", "client"]),
    ("tally-log", &["tlog", "attest", "store", "client", "custody"]),
    ("tally-witness", &["tlog", "attest", "store", "client", "custody"]),
    ("tally-builder", &["tlog", "attest", "package", "store", "client", "custody"]),
    ("tally", &["tlog", "attest", "package", "store", "client"]),
];

/// What the core may use: nothing here reads a file, a clock or a socket.
const CORE: &[&str] = &["base64", "curve25519-dalek", "ed25519-dalek", "hex", "ml-dsa", "sha2", "zeroize"];

/// Crate name to the names in its `[dependencies]`, development dependencies left out.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let text = |value: &serde_json::Value| value.as_str().expect("a name").to_owned();
    let packages = metadata["packages"].as_array().expect("packages");
    let normal = |package: &serde_json::Value| {
        let all = package["dependencies"].as_array().expect("dependencies").iter();
        all.filter(|dependency| dependency["kind"].is_null()).map(|dependency| text(&dependency["name"])).collect()
    };
    packages.iter().map(|package| (text(&package["name"]), normal(package))).collect()
}

#[test]
fn arrows_point_one_way() {
    let dependencies = dependencies();
    let ours: BTreeSet<&str> = dependencies.keys().map(String::as_str).collect();
    let listed: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).chain(["e2e", "bench"]).collect();
    assert_eq!(ours, listed, "a crate was added or removed: draw its arrows");
    for (name, allowed) in ARROWS {
        for dependency in dependencies[*name].iter().filter(|dependency| ours.contains(dependency.as_str())) {
            assert!(allowed.contains(&dependency.as_str()), "{name} imports {dependency}");
        }
    }
}

#[test]
fn the_core_stays_small() {
    let core: Vec<String> = dependencies()["tlog"].iter().cloned().collect();
    assert_eq!(core, CORE);
}

#[test]
fn attest_does_no_io() {
    let forbidden = ["tokio", "reqwest", "rustix", "libc", "axum", "hyper"];
    let dependencies = dependencies();
    assert!(forbidden.iter().all(|name| !dependencies["attest"].contains(*name)));
}
