//! The measurements run and check what they were answered. How fast it was is of no interest here.

use bench::modes::{self, Scale};
use bench::target::{CheckedLog, OpenLog};

const SCALE: Scale = Scale { seconds: 1, entry_bytes: 1_024, connections: 16 };

#[test]
fn an_open_log_is_measured() {
    let log = OpenLog::start().unwrap();
    let figures = modes::open(&log, SCALE).unwrap();
    assert_eq!(figures.len(), 2);
    for figure in figures {
        assert!(figure.entries_per_second > 0.0 && figure.checked_answers > 0, "{figure:?}");
    }
}

#[test]
fn entries_for_a_log_with_roles_are_signed() {
    let log = CheckedLog::start();
    let bytes = modes::signed_bytes(&log).unwrap();
    assert!((500..2_000).contains(&bytes), "{bytes}");
    assert_eq!(log.witnesses().len(), 3);
}
