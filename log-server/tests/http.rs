//! The log over HTTP: what is taken, what is refused and with which status, over a real server.

mod kit;

use std::time::Duration;

use attest::roles::KeyState;
use attest::{Hash, Predicate};
use client::log::Submitted;
use kit::ORIGIN;
use kit::served::{Served, builder, claim, manifest, publish, purl, roles, second_builder, security, sign, stranger, warning};
use reqwest::{Client, Response, StatusCode};
use store::Directory;
use tally_log::clock::ManualClock;
use tally_log::roles::bootstrap_files;
use tlog::{Policy, Signer, SigningKey, TlogProof, hash_leaf};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const WAIT: Duration = Duration::from_secs(30);

async fn post(served: &Served, path: &str, body: impl Into<reqwest::Body>) -> Response {
    Client::new().post(served.path(path)).body(body).send().await.unwrap()
}

/// Status and one line of text.
async fn refusal(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/plain"));
    if matches!(status, 429 | 503) {
        assert!(response.headers()["retry-after"].to_str().unwrap().parse::<u32>().unwrap() > 0);
    }
    let text = response.text().await.unwrap();
    assert!(text.ends_with('\n') && text.lines().count() == 1, "{text:?}");
    (status, text.trim_end().to_owned())
}

async fn submit(served: &Served, leaf: &[u8]) -> TlogProof {
    match served.client().submit(leaf.to_vec(), WAIT).await.unwrap() {
        Submitted::Proven(proof) => *proof,
        Submitted::Pending => panic!("still pending"),
    }
}

fn verify(proof: &TlogProof, leaf: &[u8], served: &Served) {
    proof.checkpoint.verify_log(&served.keys).unwrap();
    proof.proof.verify(&proof.checkpoint.tree(), proof.index, &hash_leaf(leaf)).unwrap();
}

async fn upload(served: &Served, name: &str, signer: &dyn Signer) -> Result<(), client::FetchError> {
    let manifest = manifest(name);
    served.client().put_manifest(ORIGIN, &manifest.root(), manifest.encode(), signer).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_log_gives_indices_and_serves_tiles() {
    let mut served = Served::start(true).await;
    for n in 0..3 {
        let response = post(&served, "add", format!("leaf {n}")).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.text().await.unwrap(), n.to_string());
    }
    assert_eq!(refusal(post(&served, "add", vec![0; 65_536]).await).await, (413, "the body is larger than 65535 bytes".into()));
    assert_eq!(post(&served, "add", vec![0; 65_535]).await.status(), StatusCode::OK);
    assert_eq!(post(&served, "entries", "x").await.status(), StatusCode::NOT_FOUND);
    let tile = reqwest::get(served.path("tile/0/000.p/4")).await.unwrap();
    assert!(tile.headers()["cache-control"].to_str().unwrap().contains("immutable"));
    assert_eq!(tile.bytes().await.unwrap().len(), 4 * 32);
    for path in
        ["tile/0/000.p/5", "tile/0/0", "tile/0/../../../log.toml", "tile/entries/000.p/04", "log.toml", "keys/ed25519", "state/committed"]
    {
        assert_eq!(reqwest::get(served.path(path)).await.unwrap().status(), StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(reqwest::get(served.path("healthz")).await.unwrap().text().await.unwrap(), "ok\n");
    let metrics = reqwest::get(served.path("metrics")).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("tally_log_tree_size 4") && metrics.contains("tally_log_entries_committed_total 4"), "{metrics}");
    served.stop().await;
    assert_eq!(entries_of(&served).len(), 4);
}

fn entries_of(served: &Served) -> Vec<Vec<u8>> {
    use store::Store as _;
    let store = Directory::open(&served.log_dir()).unwrap();
    let note = store.get("public/checkpoint").unwrap().unwrap();
    let signed = tlog::SignedCheckpoint::parse(&note).unwrap();
    signed.verify_log(&served.keys).unwrap();
    let mut entries = tally_log::entries::Entries::new(&store, signed.tree().size);
    (0..signed.tree().size).map(|index| entries.leaf(index).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_gets_503_with_retry_after() {
    let mut served = Served::made(true, |settings| {
        settings.queue_bytes = 100_000;
        settings.batch_bytes = 100_000;
        settings.batch_interval_ms = 20_000;
    });
    served.serve().await.unwrap();
    let mut refused = None;
    for _ in 0..100 {
        let response = post(&served, "add?wait=0", vec![7; 1_500]).await;
        if response.status() != StatusCode::ACCEPTED {
            refused = Some(refusal(response).await);
            break;
        }
    }
    assert_eq!(refused, Some((503, "too many entries wait; come again".into())));
    served.stop().await;
    assert!(entries_of(&served).len() >= 40, "what was queued is logged at the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_roles_are_the_first_leaf_and_claims_follow() {
    let served = Served::start(false).await;
    let leaf = sign(&claim("jq"), &builder());
    let (status, why) = refusal(post(&served, "entries", leaf.clone()).await).await;
    assert_eq!(status, 422, "{why}");
    assert!(why.contains("upload it first"), "{why}");
    upload(&served, "jq", &builder()).await.unwrap();
    upload(&served, "jq", &builder()).await.unwrap();
    let proof = submit(&served, &leaf).await;
    assert_eq!(proof.index, 1);
    verify(&proof, &leaf, &served);
    assert_eq!(submit(&served, &leaf).await.index, 1, "the same submission is the same leaf");
    let other = sign(&claim("jq"), &second_builder());
    assert_eq!(submit(&served, &other).await.index, 2, "another key says the same");
    let text = manifest("jq").encode();
    assert_eq!(served.client().manifest(&manifest("jq").root()).await.unwrap(), text);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_has_its_status() {
    let served = Served::start(false).await;
    upload(&served, "jq", &builder()).await.unwrap();
    let leaf = sign(&claim("jq"), &builder());
    let text = |leaf: &[u8]| String::from_utf8(leaf.to_vec()).unwrap();
    let mut forged = leaf.clone();
    let at = forged.len() - 10;
    forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
    let mut foreign = claim("jq");
    foreign.subject.name = "pkg:deb/ubuntu/jq@1.0-1?arch=amd64".into();
    let mut other_package = claim("jq");
    other_package.subject.digest.sha256 = Hash::digest(b"another package file");
    let mut other_lines = claim("jq");
    let Predicate::PackageFiles(files) = &mut other_lines.predicate else { unreachable!() };
    files.lines += 1;
    let cases: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        ("empty", Vec::new(), 400, "canonical envelope"),
        ("garbage", b"{}".to_vec(), 400, "canonical envelope"),
        ("not canonical", text(&leaf).replace("\",\"", "\", \"").into_bytes(), 400, "canonical envelope"),
        ("no statement", sign_bytes(b"{}", &builder()), 400, "statement"),
        ("forged", forged, 403, "signature"),
        ("stranger", sign(&claim("jq"), &stranger()), 403, "roles do not name this key"),
        ("wrong role", sign(&claim("jq"), &security()), 403, "as builder"),
        ("out of scope", sign(&foreign, &builder()), 403, "scopes do not cover"),
        ("no manifest", sign(&claim("sl"), &builder()), 422, "upload it first"),
        ("another package", sign(&other_package, &builder()), 422, "another package file"),
        ("other lines", sign(&other_lines, &builder()), 422, "lines"),
        ("too large", vec![b'x'; 70_000], 413, "65535"),
        ("chain", sign(&warning(2, None, "jq"), &security()), 400, "sequence"),
        ("gap", sign(&warning(2, Some(Hash::digest(b"?")), "jq"), &security()), 422, "sequence"),
    ];
    for (name, body, status, word) in cases {
        let (found, why) = refusal(post(&served, "entries", body).await).await;
        assert_eq!(found, status, "{name}: {why}");
        assert!(why.contains(word), "{name}: {why}");
    }
    assert_eq!(post(&served, "entries?wait=99", leaf.clone()).await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(submit(&served, &leaf).await.index, 1, "none of it was logged");
}

fn sign_bytes(payload: &[u8], signer: &SigningKey) -> Vec<u8> {
    attest::Envelope::sign(payload.to_vec(), signer).unwrap().encode()
}

#[tokio::test(flavor = "multi_thread")]
async fn chains_grow_in_order_even_within_one_batch() {
    let mut served = Served::made(false, |settings| settings.batch_interval_ms = 400);
    served.serve().await.unwrap();
    let first = warning(1, None, "jq");
    let second = warning(2, Some(Hash::digest(&first.encode())), "sl");
    let body = [sign(&first, &security()), sign(&second, &security())].join(&b'\n');
    let answer = post(&served, "entries/batch", body).await.text().await.unwrap();
    let indices: Vec<u64> = answer.lines().skip(1).map(|line| json(line)["index"].as_u64().expect(line)).collect();
    assert_eq!(indices, [1, 2]);
    // The same sequence number with other words is refused now.
    let again = sign(&warning(2, Some(Hash::digest(&first.encode())), "xz"), &security());
    let (status, why) = refusal(post(&served, "entries", again).await).await;
    assert_eq!((status, why.contains("sequence 2 where 3 is due")), (422, true), "{why}");
}

fn json(line: &str) -> serde_json::Value {
    serde_json::from_str(line).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_answers_line_by_line_under_one_checkpoint() {
    let served = Served::start(false).await;
    for name in ["a1", "a2", "a3"] {
        upload(&served, name, &builder()).await.unwrap();
    }
    let leaves: Vec<Vec<u8>> = ["a1", "a2", "a3"].iter().map(|name| sign(&claim(name), &builder())).collect();
    let body = [&leaves[0][..], b"garbage", &leaves[1], &sign(&claim("a1"), &stranger()), &leaves[2], &leaves[0]].join(&b'\n');
    let answer = post(&served, "entries/batch", body).await.text().await.unwrap();
    let lines: Vec<_> = answer.lines().map(json).collect();
    assert_eq!(lines.len(), 7);
    let checkpoint = tlog::SignedCheckpoint::parse(lines[0]["checkpoint"].as_str().unwrap().as_bytes()).unwrap();
    checkpoint.verify_log(&served.keys).unwrap();
    for (line, leaf) in [(&lines[1], &leaves[0]), (&lines[3], &leaves[1]), (&lines[5], &leaves[2]), (&lines[6], &leaves[0])] {
        let path = line["proof"].as_array().unwrap().iter().map(|hash| Hash::from_base64(hash.as_str().unwrap()).unwrap());
        let proof = tlog::InclusionProof(path.collect());
        proof.verify(&checkpoint.tree(), line["index"].as_u64().unwrap(), &hash_leaf(leaf)).unwrap();
    }
    assert_eq!((&lines[2]["status"], &lines[4]["status"]), (&400.into(), &403.into()));
    assert_eq!(lines[6]["index"], lines[1]["index"], "the same line twice is one leaf");
    let none = post(&served, "entries/batch", "garbage\n").await.text().await.unwrap();
    assert_eq!(none.lines().next(), Some("{}"), "no checkpoint where nothing was accepted");
    assert_eq!(refusal(post(&served, "entries/batch", "\n".repeat(20_000)).await).await.0, 400);
    let answer = raw(&served, b"POST /entries/batch HTTP/1.1\r\nhost: x\r\ncontent-length: 17000000\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lookups_find_all_leaves_about_a_name_with_proofs() {
    let served = Served::start(false).await;
    for name in ["jq", "sl"] {
        upload(&served, name, &builder()).await.unwrap();
        submit(&served, &sign(&claim(name), &builder())).await;
    }
    let second = sign(&claim("jq"), &second_builder());
    submit(&served, &second).await;
    let found = served.client().lookup(&[purl("jq").to_string(), "type:roles/v1".into(), purl("nothing").to_string()]).await.unwrap();
    found.checkpoint.verify_log(&served.keys).unwrap();
    assert_eq!(found.found.iter().map(|found| found.index).collect::<Vec<_>>(), [0, 1, 3]);
    assert_eq!(found.found[2].leaf, second);
    for found_leaf in &found.found {
        found_leaf.proof.verify(&found.checkpoint.tree(), found_leaf.index, &hash_leaf(&found_leaf.leaf)).unwrap();
    }
    let all = served.client().lookup(&["type:package-files/v1".into()]).await.unwrap();
    assert_eq!(all.found.len(), 3);
    let (jq, served_from) = (purl("jq").to_string(), async |from: &str| {
        let found = served.client().lookup(&[purl("jq").to_string(), from.to_owned()]).await?;
        Ok::<_, client::FetchError>(found.found.iter().map(|found| found.index).collect::<Vec<_>>())
    });
    assert_eq!(served_from("from:0").await.unwrap(), [1, 3]);
    assert_eq!(served_from("from:2").await.unwrap(), [3]);
    assert_eq!(served_from("from:4").await.unwrap(), Vec::<u64>::new());
    assert_eq!(served_from("from:18446744073709551615").await.unwrap(), Vec::<u64>::new());
    for wrong in ["from:", "from:-1", "from:18446744073709551616", "from:1\nfrom:1"] {
        assert_eq!(refusal(post(&served, "lookup", format!("{jq}\n{wrong}\n")).await).await.0, 400, "{wrong}");
    }
    assert_eq!(refusal(post(&served, "lookup", "x\n".repeat(10_001)).await).await.0, 400);
    assert_eq!(refusal(post(&served, "lookup", vec![b'x'; (1 << 20) + 1]).await).await.0, 413);
    assert_eq!(refusal(post(&served, "lookup", vec![0xff, 0xfe]).await).await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_are_refused_with_a_reason() {
    let mut served = Served::made(false, |settings| settings.manifest_quota_bytes = 700);
    served.serve().await.unwrap();
    let text = manifest("jq").encode();
    let root = manifest("jq").root();
    let put = async |root: &str, header: Option<String>, body: Vec<u8>| {
        let mut request = Client::new().put(served.path(&format!("manifest/{root}"))).body(body);
        if let Some(header) = header {
            request = request.header("Tally-Signature", header);
        }
        let response = request.send().await.unwrap();
        if response.status().is_success() { (response.status().as_u16(), String::new()) } else { refusal(response).await }
    };
    let header = |signer: &SigningKey, origin: &str, root: &Hash, body: &[u8]| {
        let signature = signer.sign(client::log::manifest_message(origin, root, body).as_bytes()).unwrap();
        Some(format!("{} {}", signer.key().encode(), base64(&signature)))
    };
    let hex = root.to_string();
    assert_eq!(put(&hex, None, text.clone()).await.0, 400, "no signature");
    assert_eq!(put(&hex, Some("x y".into()), text.clone()).await.0, 400);
    assert_eq!(put("ABC", header(&builder(), ORIGIN, &root, &text), text.clone()).await.0, 400);
    assert_eq!(put(&hex, header(&stranger(), ORIGIN, &root, &text), text.clone()).await.0, 403);
    assert_eq!(put(&hex, header(&builder(), "another.example/log", &root, &text), text.clone()).await.0, 403);
    let other = Hash::digest(b"other");
    let (status, why) = put(&other.to_string(), header(&builder(), ORIGIN, &other, &text), text.clone()).await;
    assert_eq!((status, why), (400, format!("the manifest's root is {root}")));
    let garbage = b"no manifest\n".to_vec();
    let garbage_root = attest::manifest::tree_of(&garbage).root;
    assert_eq!(put(&garbage_root.to_string(), header(&builder(), ORIGIN, &garbage_root, &garbage), garbage).await.0, 400);
    assert_eq!(put(&hex, header(&builder(), ORIGIN, &root, &text), text.clone()).await.0, 201);
    assert_eq!(put(&hex, header(&builder(), ORIGIN, &root, &text), text.clone()).await.0, 200);
    let sl = (manifest("sl").root(), manifest("sl").encode());
    assert_eq!(put(&sl.0.to_string(), header(&builder(), ORIGIN, &sl.0, &sl.1), sl.1.clone()).await.0, 201);
    let xz = (manifest("xz").root(), manifest("xz").encode());
    let (status, why) = put(&xz.0.to_string(), header(&builder(), ORIGIN, &xz.0, &xz.1), xz.1.clone()).await;
    assert_eq!(status, 429, "{why}");
    // A claimed manifest no longer counts, as soon as the claim is indexed: soon after the answer.
    submit(&served, &sign(&claim("jq"), &builder())).await;
    let again = async || put(&xz.0.to_string(), header(&builder(), ORIGIN, &xz.0, &xz.1), xz.1.clone()).await.0;
    let mut status = again().await;
    for _ in 0..500 {
        if status != 429 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        status = again().await;
    }
    assert_eq!(status, 201);
    assert_eq!(reqwest::get(served.path(&format!("manifest/{other}"))).await.unwrap().status(), StatusCode::NOT_FOUND);
    // The limit stands before the body: this request never sends one.
    let head = format!(
        "PUT /manifest/{hex} HTTP/1.1\r\nhost: x\r\ntally-signature: {}\r\ncontent-length: 999999999\r\n\r\n",
        header(&second_builder(), ORIGIN, &root, b"").unwrap()
    );
    let answer = raw(&served, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 429") || answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_no_entry_claims_goes_after_an_hour() {
    let mut served = Served::made(false, |_| {});
    let clock = std::sync::Arc::new(ManualClock::new(kit::START));
    served.clock = clock.clone();
    served.serve().await.unwrap();
    let stored = async |name: &str| served.client().manifest(&manifest(name).root()).await.is_ok();
    for name in ["claimed", "forgotten", "late"] {
        upload(&served, name, &builder()).await.unwrap();
    }
    submit(&served, &sign(&claim("claimed"), &builder())).await;
    clock.pass(3_000);
    upload(&served, "late", &builder()).await.unwrap();
    clock.pass(700);
    let started = std::time::Instant::now();
    while stored("forgotten").await {
        assert!(started.elapsed() < WAIT, "it stays for ever");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(stored("claimed").await, "an entry claims it");
    assert!(stored("late").await, "it was uploaded again within the hour");
    let (status, why) = refusal(post(&served, "entries", sign(&claim("forgotten"), &builder())).await).await;
    assert_eq!((status, why.contains("upload it first")), (422, true), "{why}");
    upload(&served, "forgotten", &builder()).await.unwrap();
    submit(&served, &sign(&claim("forgotten"), &builder())).await;
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Sends bytes as they are and reads until the connection ends or the head is complete.
async fn raw(served: &Served, bytes: &[u8]) -> String {
    let mut stream = tokio::net::TcpStream::connect(served.url.trim_start_matches("http://")).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !answer.windows(4).any(|window| window == b"\r\n\r\n") {
        match tokio::time::timeout(WAIT, stream.read(&mut buffer)).await.unwrap() {
            Ok(0) | Err(_) => break,
            Ok(read) => answer.extend_from_slice(&buffer[..read]),
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_malformed_requests_end() {
    let mut served = Served::made(true, |_| {});
    served.header_time = Duration::from_millis(300);
    served.serve().await.unwrap();
    let answer = raw(&served, b"POST /add HTTP/1.1\r\nhost: x\r\nx-slow:").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    let answer = raw(&served, b"garbage\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let large = format!("GET /checkpoint HTTP/1.1\r\nhost: x\r\nx-large: {}\r\n\r\n", "a".repeat(200_000));
    let answer = raw(&served, large.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    let answer = raw(&served, b"POST /add HTTP/1.1\r\nhost: x\r\ncontent-length: 70000\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert_eq!(post(&served, "add", "still here").await.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_wait_is_no_acknowledgement_and_asking_again_joins() {
    let mut served = Served::made(false, |settings| settings.batch_interval_ms = 1_500);
    served.serve().await.unwrap();
    upload(&served, "jq", &builder()).await.unwrap();
    let leaf = sign(&claim("jq"), &builder());
    let response = post(&served, "entries?wait=0", leaf.clone()).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    assert_eq!(response.text().await.unwrap(), "", "no index");
    let (one, two) = tokio::join!(submit(&served, &leaf), submit(&served, &leaf));
    assert_eq!((one.index, two.index), (1, 1));
    assert_eq!(one.checkpoint.tree().size, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_roles_end_their_batch_and_judge_what_follows() {
    let mut served = Served::made(false, |settings| settings.batch_interval_ms = 400);
    served.serve().await.unwrap();
    for name in ["jq", "sl"] {
        upload(&served, name, &builder()).await.unwrap();
    }
    let first = roles(served.dir.path());
    let mut second = first.clone();
    second.version = 2;
    second.previous = Some(first.digest());
    second.builders[0].state = KeyState::Retired;
    let file = publish(served.dir.path(), &second);
    // Version 2 does not stand by itself; its signatures are checked with version 1's foundation.
    let roles_leaf = sign(&bootstrap_files(&file).unwrap().statement, &stranger());
    let lines = [sign(&claim("jq"), &builder()), roles_leaf, sign(&claim("sl"), &builder()), sign(&claim("sl"), &second_builder())];
    let answer = post(&served, "entries/batch", lines.join(&b'\n')).await.text().await.unwrap();
    let lines: Vec<_> = answer.lines().skip(1).map(json).collect();
    assert_eq!((&lines[0]["index"], &lines[1]["index"], &lines[3]["index"]), (&1.into(), &2.into(), &3.into()), "{answer}");
    assert_eq!(lines[2]["status"], 403, "queued before, judged after: {answer}");
    let ended = reqwest::get(served.path("tile/0/000.p/3")).await.unwrap();
    assert_eq!(ended.status(), StatusCode::OK, "a tree was published that ends with the roles");
    let (status, why) = refusal(post(&served, "entries", sign(&claim("sl"), &builder())).await).await;
    assert_eq!((status, why.as_str()), (403, "the key is retired"));
    assert_eq!(refusal(put_by_retired(&served).await).await.0, 403);
}

async fn put_by_retired(served: &Served) -> Response {
    let (root, text) = (manifest("jq").root(), manifest("jq").encode());
    let signature = builder().sign(client::log::manifest_message(ORIGIN, &root, &text).as_bytes()).unwrap();
    let header = format!("{} {}", builder().key().encode(), base64(&signature));
    Client::new().put(served.path(&format!("manifest/{root}"))).header("Tally-Signature", header).body(text).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_deleted_or_corrupt_index_costs_nothing_but_time() {
    let mut served = Served::start(false).await;
    let names = ["a1", "a2", "a3", "a4"];
    let leaves: Vec<_> = names.iter().map(|name| sign(&claim(name), &builder())).collect();
    for (name, leaf) in names.iter().zip(&leaves) {
        upload(&served, name, &builder()).await.unwrap();
        submit(&served, leaf).await;
    }
    let path = served.log_dir().join("index.redb");
    let old = tempfile::NamedTempFile::new().unwrap();
    for damage in ["none", "deleted", "garbage", "truncated", "old", "bit flips"] {
        served.stop().await;
        match damage {
            "deleted" => std::fs::remove_file(&path).unwrap(),
            "garbage" => std::fs::write(&path, vec![0x5a; 100_000]).unwrap(),
            "truncated" => {
                let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
                file.set_len(file.metadata().unwrap().len() / 2).unwrap();
            }
            "old" => drop(std::fs::copy(old.path(), &path).unwrap()),
            "bit flips" => {
                let mut bytes = std::fs::read(&path).unwrap();
                for at in (5_000..bytes.len()).step_by(997) {
                    bytes[at] ^= 1;
                }
                std::fs::write(&path, bytes).unwrap();
            }
            _ => drop(std::fs::copy(&path, old.path()).unwrap()),
        }
        served.serve().await.unwrap_or_else(|error| panic!("{damage}: {error:#}"));
        for (n, leaf) in leaves.iter().enumerate() {
            assert_eq!(submit(&served, leaf).await.index, n as u64 + 1, "{damage}");
        }
        let found = served.client().lookup(&[purl("a3").to_string()]).await.unwrap().found;
        assert_eq!(found.len(), 1, "{damage}");
        let name = format!("new {damage}").replace(' ', "-");
        upload(&served, &name, &builder()).await.unwrap();
        submit(&served, &sign(&claim(&name), &builder())).await;
    }
    assert_eq!(entries_of(&served).len(), 5 + 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_that_would_be_wrong_are_refused() {
    let mut served = Served::start(false).await;
    let error = serve_again(&served, true).await;
    assert!(error.contains("another server runs"), "{error}");
    served.stop().await;
    assert_eq!(serve_again(&served, false).await, "", "its roles are in the log");
    let fresh = Served::made(false, |_| {});
    let error = serve_again(&fresh, false).await;
    assert!(error.contains("a new log needs roles"), "{error}");
    let open = Served::made(true, |_| {});
    assert!(serve_again(&open, true).await.contains("takes no roles"));
    let foreign = Served::made(false, |settings| settings.origin = "another.example/log".into());
    assert!(serve_again(&foreign, true).await.contains("keys"));
    std::fs::write(open.log_dir().join("keys/ed25519"), "garbage").unwrap();
    assert!(serve_again(&open, false).await.contains("does not hold a private key"));
    let nothing = tempfile::tempdir().unwrap();
    let config = tally_log::Config::new(nothing.path().to_owned(), "127.0.0.1:0", Policy::parse(b"quorum none\n").unwrap());
    assert!(format!("{:#}", tally_log::build(config).await.err().unwrap()).contains("no log"));
}

/// Tries another server on the directory; the error, or nothing if it starts.
async fn serve_again(served: &Served, with_roles: bool) -> String {
    let mut config = tally_log::Config::new(served.log_dir(), "127.0.0.1:0", served.policy.clone());
    if with_roles {
        let file = served.dir.path().join("roles-1.txt");
        let any = kit::served::roles_file(&file);
        config.roles = Some(any);
    }
    match tally_log::build(config).await {
        Ok(_) => String::new(),
        Err(error) => format!("{error:#}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_witnesses_at_the_start_a_log_is_read_only() {
    let mut served = Served::start(true).await;
    assert_eq!(post(&served, "add", "x").await.status(), StatusCode::OK);
    served.stop().await;
    let key = kit::signing_key("w.example", tlog::KeyKind::CosignatureV1, 70);
    let text = format!("witness w {} http://127.0.0.1:9\nquorum w\n", key.key().encode());
    served.policy = Policy::parse(text.as_bytes()).unwrap();
    served.serve().await.unwrap();
    let (status, why) = refusal(post(&served, "add", "y").await).await;
    assert_eq!((status, why.contains("read-only")), (503, true), "{why}");
    assert_eq!(served.client().checkpoint().await.unwrap().tree().size, 1, "reads go on");
    let health = reqwest::get(served.path("healthz")).await.unwrap();
    assert_eq!(health.status(), StatusCode::SERVICE_UNAVAILABLE);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_submitters_get_an_index_each() {
    let mut served = Served::start(true).await;
    let client = Client::new();
    let tasks: Vec<_> = (0..400)
        .map(|n| {
            let (client, url) = (client.clone(), served.path("add"));
            tokio::spawn(async move { client.post(url).body(format!("leaf {n}")).send().await.unwrap().text().await.unwrap() })
        })
        .collect();
    let mut indices = Vec::new();
    for task in tasks {
        indices.push(task.await.unwrap().parse::<u64>().unwrap());
    }
    indices.sort_unstable();
    assert_eq!(indices, (0..400).collect::<Vec<_>>());
    served.stop().await;
    let mut leaves = entries_of(&served);
    leaves.sort();
    leaves.dedup();
    assert_eq!(leaves.len(), 400);
}
