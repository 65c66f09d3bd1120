//! However many logs are on the list, few of their addresses are asked at a time.

mod support;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use store::Memory;
use support::TestClock;
use support::upload::until;
use tally_witness::{Logs, Witness, ask, feed};
use tlog::{KeyKind, Signer as _};

const LOGS: u8 = 40;

/// Addresses where nothing is published yet, and what was asked of them.
#[derive(Default)]
struct Site {
    now: AtomicUsize,
    most: AtomicUsize,
    asked: Mutex<BTreeSet<String>>,
}

async fn nothing(State(site): State<Arc<Site>>, request: Request) -> StatusCode {
    site.most.fetch_max(site.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(50)).await;
    site.now.fetch_sub(1, Ordering::SeqCst);
    site.asked.lock().unwrap().insert(request.uri().path().to_owned());
    StatusCode::NOT_FOUND
}

async fn watched() -> (Arc<Site>, Arc<Witness>) {
    let site = Arc::new(Site::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(nothing).with_state(Arc::clone(&site));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let block = |number: u8| {
        let key = support::key(&format!("example.org/{number}"), KeyKind::Ed25519, number).key().encode();
        format!("\nvkey {key}\nqpd 86400\ncontact x\nurl http://{address}/{number}\n")
    };
    let list = format!("logs/v0\n{}", (0..LOGS).map(block).collect::<String>());
    let logs = Logs::parse(list.as_bytes()).unwrap();
    let witness = Witness::new(support::signers(), logs, Arc::new(Memory::new()), TestClock::new().clock(), None).unwrap();
    (site, witness)
}

/// More than one, too: else nothing was tried.
fn check(site: &Site) {
    assert_eq!(site.asked.lock().unwrap().len(), usize::from(LOGS));
    let most = site.most.load(Ordering::SeqCst);
    assert!((2..=16).contains(&most), "{most} at a time");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_start() {
    let (site, witness) = watched().await;
    assert_eq!(witness.unasked().len(), usize::from(LOGS));
    tokio::time::timeout(Duration::from_secs(60), ask::ask_all(Arc::clone(&witness))).await.expect("an answer of each");
    assert!(witness.unasked().is_empty());
    check(&site);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_they_are_fed() {
    let (site, witness) = watched().await;
    let feeding = tokio::spawn(feed::feed_for_ever(witness, Duration::from_secs(3600)));
    until("all are asked", || site.asked.lock().unwrap().len() == usize::from(LOGS)).await;
    feeding.abort();
    check(&site);
}
