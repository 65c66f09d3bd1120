//! An ssh-agent's answers: what is accepted has its shape to the last byte, and a key file that names an agent has one spelling.
#![no_main]

use client::agent::{identities, signature};
use client::keys::Elsewhere;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(blobs) = identities(bytes) {
        assert!(blobs.iter().map(|blob| blob.len() + 8).sum::<usize>() <= bytes.len());
    }
    if let Some(signature) = signature(bytes) {
        assert_eq!((signature.len(), bytes.len()), (64, 1 + 4 + 4 + 11 + 4 + 64));
    }
    if let Some(file) = std::str::from_utf8(bytes).ok().and_then(Elsewhere::parse) {
        assert_eq!(file.encode().as_bytes(), bytes);
    }
});
