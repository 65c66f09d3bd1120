//! What the pages in `specs/` say, compared with the code; and the vectors of the staging file.

use std::path::{Path, PathBuf};

use tally_log::config::Settings;
use tally_log::ledger::Phase;
use tally_log::metrics::Metrics;
use tally_log::stage::Stage;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join("specs").join(name)).unwrap()
}

#[test]
fn the_lifecycle_names_the_phases_in_the_codes_order() {
    let page = page("lifecycle.md");
    let table = page.split("## A round").nth(1).and_then(|rest| rest.split("## Crash points").next()).unwrap();
    let rows: Vec<&str> =
        table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next()).filter(|name| !name.is_empty()).collect();
    let phases: Vec<String> = Phase::ALL.iter().map(|phase| format!("{phase:?}")).collect();
    assert_eq!(rows[1..], phases);
    let points = page.split("## Crash points").nth(1).and_then(|rest| rest.split("## Recovery").next()).unwrap();
    let numbers: Vec<usize> = points.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next()?.parse().ok()).collect();
    assert_eq!(numbers, (1..=12).collect::<Vec<_>>(), "every crash point is numbered");
}

#[test]
fn every_metric_and_setting_is_documented() {
    let page = page("log.md");
    let metrics = Metrics::default();
    metrics.answered(200);
    let text = metrics.encode();
    let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert!(names.len() >= 9, "{names:?}");
    for name in &names {
        assert!(page.contains(&format!("`{name}")), "{name} is not in specs/log.md");
    }
    for documented in page.split('`').filter(|word| word.starts_with("tally_log_")) {
        let name = documented.split('{').next().unwrap();
        let name = name.strip_suffix("_total").unwrap_or(name);
        assert!(names.contains(&name), "{documented} is documented and not there");
    }
    for line in Settings::new("x", false, Vec::new()).encode().lines() {
        if line.is_empty() {
            continue;
        }
        let field = line.split(" = ").next().unwrap();
        assert!(page.contains(&format!("`{field}`")), "{field} is not in specs/log.md");
    }
}

#[test]
fn staging_files_get_their_verdict() {
    let mut count = 0;
    for file in std::fs::read_dir(root().join("testdata/stage")).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let (verdict, hex) = text.split_once('\n').unwrap();
        let digits: Vec<u8> = hex.bytes().filter(|byte| *byte != b'\n').collect();
        let bytes: Vec<u8> = digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect();
        let found = match Stage::parse(&bytes) {
            Ok(stage) => {
                assert_eq!(stage.encode(), bytes, "{}", path.display());
                "accepted".to_owned()
            }
            Err(error) => format!("{error:?}"),
        };
        assert_eq!(found, verdict.split(':').next().unwrap(), "{}: {verdict}", path.display());
        count += 1;
    }
    println!("{count} staging files");
    assert!(count >= 17, "{count}");
}
