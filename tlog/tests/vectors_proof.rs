//! The shared vectors of tlog-proofs. Their checkpoints are placeholders, so each text is tried twice: as it is, and with a real
//! checkpoint in the placeholder's place.

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use support::{Count, array, load, string, valid};
use tlog::TlogProof;

const REAL: &str = include_str!("../../testdata/checkpoint/accept-ed25519.txt");

#[test]
fn tlog_proofs() {
    let Some(file) = load("proof/tlog-proof.json") else { return };
    let mut count = Count::of("proof/tlog-proof.json");
    let note = REAL.split_once('\n').unwrap().1;
    for case in array(&file, "cases") {
        let (name, text) = (string(case, "name"), string(case, "text"));
        assert!(TlogProof::parse(text.as_bytes()).is_err(), "{name}: a placeholder is no checkpoint");
        let whole = match text.rsplit_once("\n\n") {
            Some((head, _)) => format!("{head}\n\n{note}"),
            None => format!("{text}\n{note}"),
        };
        let parsed = TlogProof::parse(whole.as_bytes());
        assert_eq!(parsed.is_ok(), valid(case), "{name}");
        if let Ok(proof) = parsed {
            assert_eq!(proof.encode(), whole, "{name}");
            check_fields(&proof, case);
        }
        count.ran();
    }
    count.finish(11, 0);
}

fn check_fields(proof: &TlogProof, case: &Value) {
    assert_eq!(proof.index, case["index"].as_u64().unwrap());
    let hashes: Vec<_> = proof.proof.0.iter().map(tlog::Hash::to_base64).collect();
    assert_eq!(hashes, *array(case, "hashes"));
    let extra = proof.extra.as_ref().map(|extra| STANDARD.encode(extra));
    assert_eq!(extra.as_deref(), case["extra_base64"].as_str());
}
