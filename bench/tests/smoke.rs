//! The measurements run and check what they were answered. How fast it was is of no interest here.

use std::sync::Arc;
use std::time::Duration;

use bench::figure::{Subject, measure};
use bench::load::{Offer, Requests};
use bench::requests::Raw;
use bench::target::{CheckedLog, OpenLog};
use bench::{answers, modes};

#[test]
fn an_open_log_is_measured() {
    let log = OpenLog::start().unwrap();
    let (program, dir) = (log.program().unwrap(), log.dir());
    let subject = Subject { address: program.address(), log: program.id(), witnesses: Vec::new(), dir: &dir };
    let raw = Arc::new(Raw::new(1_024, 1));
    let requests: Arc<dyn Requests> = raw.clone();
    let offer = Offer { connections: 16, rate: Some(300.0), time: Duration::from_secs(4), warm_up: Duration::from_secs(1) };
    let (figure, outcome) = measure("a short run", &subject, &requests, offer, &|| {}).unwrap();
    assert!(figure.entries_per_second > 0.0, "{figure:?}");
    assert_eq!((outcome.ok(), outcome.complaint()), (1_200, None));
    assert!(answers::check_raw(&dir, &raw, &outcome).unwrap() > 0);
}

#[test]
fn entries_for_a_log_with_roles_are_signed() {
    let log = CheckedLog::start();
    let bytes = modes::signed_bytes(&log).unwrap();
    assert!((500..2_000).contains(&bytes), "{bytes}");
    assert_eq!(log.witnesses().len(), 3);
}
