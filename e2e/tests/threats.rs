//! The threat model names a check for each row; here each of them must exist.

use std::fs;
use std::path::Path;

#[test]
fn every_threat_has_a_check_that_exists() {
    let top = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let page = fs::read_to_string(top.join("specs/threat-model.md")).expect("the page");
    let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| threat") && !line.starts_with("| ---");
    let rows: Vec<&str> = page.lines().filter(is_row).collect();
    assert!(rows.len() >= 25, "only {} rows were read", rows.len());
    for row in rows {
        let checks: Vec<(&str, &str)> = row.split('`').filter_map(|word| word.split_once(".rs::")).collect();
        assert!(!checks.is_empty(), "no check: {row}");
        for (file, name) in checks {
            let source = fs::read_to_string(top.join(format!("{file}.rs"))).unwrap_or_else(|error| panic!("{file}.rs: {error}"));
            let found = source.split_once(&format!("fn {name}("));
            let (before, _) = found.unwrap_or_else(|| panic!("{file}.rs has no test {name}"));
            let attribute = before.rsplit("\n\n").next().unwrap_or_default();
            assert!(attribute.contains("test]") || attribute.contains("test("), "{name} in {file}.rs is not a test");
        }
    }
}
