//! A report names signers only where each signature's lines say so, and never where one is bad.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../builder/src/chain/gpgv.rs"]
mod gpgv;

fuzz_target!(|report: &str| {
    if let Ok(signers) = gpgv::judge(report) {
        assert!(!signers.is_empty() && signers.is_sorted());
        assert!(signers.iter().all(|signer| matches!(signer.len(), 40 | 64) && report.contains(signer.as_str())));
        let says =
            |word: &str| report.lines().any(|line| line.strip_prefix("[GNUPG:] ").is_some_and(|line| line.split(' ').next() == Some(word)));
        assert!(says("GOODSIG") && says("VALIDSIG") && says("PLAINTEXT") && !says("BADSIG") && !says("NODATA"));
    }
});
