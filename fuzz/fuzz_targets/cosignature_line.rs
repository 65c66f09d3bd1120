//! Accepted signature lines re-encode to the same text; a cosignature that nobody made never verifies.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(line) = tlog::SignatureLine::parse(text) else { return };
    assert_eq!(line.encode(), format!("{text}\n"));
    let _ = tlog::cosignature::unverified_timestamp(&line);
    let checkpoint = tlog::Checkpoint { origin: "log.example/fuzz".into(), tree: tlog::Tree::EMPTY, extensions: vec![] };
    for kind in [tlog::KeyKind::CosignatureV1, tlog::KeyKind::MlDsa44] {
        let Ok(signing) = tlog::SigningKey::from_seed(line.name.clone(), kind, &[7; 32]) else { continue };
        let key = tlog::Signer::key(&signing);
        // As if the ID were the key's: otherwise nothing would be tried.
        let line = tlog::SignatureLine { id: key.id(), ..line.clone() };
        assert!(tlog::cosignature::verify(key, &line, &checkpoint).is_err());
    }
});
