//! Reading the shared conformance vectors, and counting what was run.
#![allow(dead_code, reason = "each test file uses its part")]

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

/// The folder of vectors: `TALLYSTICK_VECTORS`, or beside the repository.
fn folder() -> PathBuf {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors");
    std::env::var_os("TALLYSTICK_VECTORS").map_or_else(|| beside.into(), PathBuf::from)
}

/// Where a file or folder of vectors is; `None`, said plainly, if the whole folder is absent.
pub fn path(path: &str) -> Option<PathBuf> {
    let folder = folder();
    if !folder.is_dir() {
        println!("NOT RUN: {path}: there is no folder of vectors (set TALLYSTICK_VECTORS)");
        return None;
    }
    Some(folder.join(path))
}

/// One file of vectors; `None`, said plainly, if the whole folder is absent.
pub fn load(file: &str) -> Option<Value> {
    let bytes = fs::read(path(file)?).unwrap_or_else(|error| panic!("{file}: {error}"));
    Some(serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{file}: {error}")))
}

/// What was run of one file, and what was listed instead.
pub struct Count {
    file: &'static str,
    run: usize,
    listed: Vec<String>,
}

impl Count {
    pub fn of(file: &'static str) -> Self {
        Self { file, run: 0, listed: Vec::new() }
    }

    /// A case whose verdict was asserted.
    pub fn ran(&mut self) {
        self.run += 1;
    }

    /// A case that is wrong or out of scope, with the reason.
    pub fn list(&mut self, name: &str, reason: &str) {
        self.listed.push(format!("{name}: {reason}"));
    }

    /// Prints the counts; fails if there are fewer cases than the vectors' README says, or more listed than agreed.
    pub fn finish(self, expected: usize, most_listed: usize) {
        println!("{}: {} run, {} listed, {expected} expected", self.file, self.run, self.listed.len());
        for line in &self.listed {
            println!("  listed: {line}");
        }
        assert!(self.run + self.listed.len() >= expected, "{}: cases are missing", self.file);
        assert!(self.listed.len() <= most_listed, "{}: too many listed", self.file);
    }
}

/// The array `key` of a vector file.
pub fn array<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap_or_else(|| panic!("no array {key}"))
}

/// The string `key` of a case.
pub fn string<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no string {key} in {value}"))
}

/// The hexadecimal string `key` of a case, as bytes.
pub fn bytes(value: &Value, key: &str) -> Vec<u8> {
    hex::decode(string(value, key)).unwrap_or_else(|error| panic!("{key}: {error}"))
}

/// Whether the case must be accepted.
pub fn valid(value: &Value) -> bool {
    value["valid"].as_bool().unwrap_or_else(|| panic!("no verdict in {value}"))
}
