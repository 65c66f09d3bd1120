//! The shared vectors of policies. Sigsum's have raw keys where verifier keys belong: each raw key stands for the key of which it
//! is the seed.

mod support;

use serde_json::Value;
use support::{Count, array, load, string, valid};
use tlog::{Hash, KeyKind, KeyName, Policy, Signer as _, SigningKey};

#[test]
fn policies() {
    let Some(file) = load("policy/policy.json") else { return };
    let mut count = Count::of("policy/policy.json");
    let mut rows = 0;
    for case in array(&file, "cases") {
        let raw = string(case, "keys") != "vkey";
        let text = if raw { with_vkeys(string(case, "policy")) } else { string(case, "policy").to_string() };
        let parsed = Policy::parse(text.as_bytes());
        assert_eq!(parsed.is_ok(), valid(case), "{}: {parsed:?}", string(case, "name"));
        if let Ok(policy) = parsed {
            rows += check_quorum(&policy, case);
        } else {
            refuse_for_the_named_reason(string(case, "name"), &text);
        }
        count.ran();
    }
    count.finish(27, 0);
    println!("policy/policy.json: {rows} quorum rows");
    assert!(rows >= 23);
}

/// Many refused policies lack a quorum line or the last line feed as well. Where the case is about something else, it must be refused with those mended.
fn refuse_for_the_named_reason(name: &str, text: &str) {
    if !matches!(name, "empty" | "missing quorum" | "no quorum") {
        let mended = if text.contains("quorum") { format!("{text}\n") } else { format!("{text}\nquorum none\n") };
        assert!(Policy::parse(mended.as_bytes()).is_err(), "{name}");
    }
}

fn check_quorum(policy: &Policy, case: &Value) -> usize {
    assert_eq!(Policy::parse(policy.encode().as_bytes()).as_ref(), Ok(policy));
    if let Some(threshold) = case["want_threshold"].as_u64() {
        assert!(policy.is_satisfied_by(&|_| true));
        assert_eq!(u64::try_from(policy.witnesses().len()).unwrap(), threshold, "all witnesses are needed");
        for missing in policy.witnesses() {
            assert!(!policy.is_satisfied_by(&|name| name != missing.name));
        }
    }
    let Some(rows) = case["quorum_cases"].as_array() else { return 0 };
    for row in rows {
        let cosigned = array(row, "cosigned");
        assert_eq!(policy.is_satisfied_by(&|name| cosigned.iter().any(|w| w == name)), row["satisfied"], "{row}");
    }
    rows.len()
}

fn with_vkeys(policy: &str) -> String {
    policy.split_inclusive('\n').map(line_with_vkeys).collect()
}

fn line_with_vkeys(line: &str) -> String {
    let kind = match line.split_whitespace().next() {
        Some("log") => KeyKind::Ed25519,
        Some("witness") => KeyKind::CosignatureV1,
        _ => return line.to_string(),
    };
    let Some(raw) = line.split_whitespace().find(|word| Hash::from_hex(word).is_some()) else { return line.to_string() };
    let seed = *Hash::from_hex(raw).unwrap().as_bytes();
    let name = KeyName::parse(&format!("example.com/{raw}")).unwrap();
    line.replacen(raw, &SigningKey::from_seed(name, kind, &seed).unwrap().key().encode(), 1)
}
