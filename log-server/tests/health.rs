//! `/healthz` and `/metrics` of the real program while something that it has stored is damaged, until it is repaired from a mirror.

mod kit;

use std::process::Command;

use kit::program::Program;
use kit::{ORIGIN, wait_until};
use tally_log::clock::SystemClock;
use tally_log::init;

fn damaged(program: &Program) -> String {
    let (_, text) = program.get("metrics");
    text.lines().find_map(|line| line.strip_prefix("tally_log_scrub_damaged_objects ")).expect("the metric").to_owned()
}

#[test]
fn a_damaged_tile_turns_the_health_red_until_it_is_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let (log, mirror, policy) = (dir.path().join("log"), dir.path().join("mirror"), dir.path().join("policy"));
    init::init(&log, ORIGIN, true, &SystemClock).unwrap();
    std::fs::write(&policy, "quorum none\n").unwrap();
    let program = Program::serve(&log, &policy, &[]);
    program.add(300);
    program.terminate();
    assert!(Command::new("cp").arg("-a").args([&log, &mirror]).status().unwrap().success());
    // A whole bundle, which no start rests on.
    let object = "tile/entries/000";
    let file = log.join("public").join(object);
    let good = std::fs::read(&file).unwrap();
    let mut bytes = good.clone();
    bytes[good.len() / 2] ^= 0x10;
    std::fs::write(&file, &bytes).unwrap();

    let program = Program::serve(&log, &policy, &[]);
    wait_until("the scrub finds the damage", || program.get("healthz").0 == 503);
    let (_, said) = program.get("healthz");
    assert!(said.starts_with(&format!("damaged at rest: {object} and 0 more")) && said.contains("tally-log repair"), "{said}");
    assert_eq!(damaged(&program), "1");
    program.add(1);

    let healthy = Program::serve(&mirror, &policy, &[]);
    let mut repair = Command::new(env!("CARGO_BIN_EXE_tally-log"));
    let output = repair.arg("repair").arg("--dir").arg(&log).args(["--from", &healthy.url]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains(&format!("{object}: restored from {}", healthy.url)), "{output:?}");
    assert_eq!(std::fs::read(&file).unwrap(), good);
    wait_until("the scrub sees it whole", || program.get("healthz") == (200, "ok\n".to_owned()));
    assert_eq!(damaged(&program), "0");
}
