//! The self-signed certificate of a backend: it carries a key, and nothing in it is believed.

use tlog::Signer;
use tlog::key::SignError;

/// SubjectPublicKeyInfo of an Ed25519 key, up to the key itself (RFC 8410).
pub const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// AlgorithmIdentifier of Ed25519.
const ALGORITHM: [u8; 7] = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];
/// The object identifier of a common name.
const COMMON_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x03];

/// A certificate in DER for the raw public key, self-signed. It never expires (RFC 5280, 4.1.2.5): what counts is the key, and whether the
/// bastion still lists it.
///
/// # Errors
/// If the signer does not sign.
pub fn self_signed(signer: &dyn Signer, public: &[u8; 32]) -> Result<Vec<u8>, SignError> {
    let body = body(public);
    let mut signature = vec![0];
    signature.extend(signer.sign(&body)?);
    Ok(tagged(0x30, &[&body, &ALGORITHM[..], &tagged(0x03, &[&signature])]))
}

fn body(public: &[u8; 32]) -> Vec<u8> {
    let version = tagged(0xa0, &[&[0x02, 0x01, 0x02]]);
    let serial = [0x02, 0x01, 0x01];
    let name = tagged(0x30, &[&tagged(0x31, &[&tagged(0x30, &[&COMMON_NAME, &tagged(0x0c, &[b"bastion backend"])])])]);
    let validity = tagged(0x30, &[&tagged(0x17, &[b"700101000000Z"]), &tagged(0x18, &[b"99991231235959Z"])]);
    let key = [&SPKI_PREFIX[..], public].concat();
    tagged(0x30, &[&version, &serial, &ALGORITHM, &name, &validity, &name, &key])
}

/// Tag, length and contents. No part of these certificates is longer than 65,535 bytes.
fn tagged(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut encoded = vec![tag];
    match length {
        0..0x80 => encoded.push(length as u8),
        0x80..0x100 => encoded.extend([0x81, length as u8]),
        _ => encoded.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    parts.iter().for_each(|part| encoded.extend_from_slice(part));
    encoded
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use tlog::{KeyKind, KeyName, SigningKey};

    use super::*;

    #[test]
    fn openssl_reads_it_and_verifies_its_signature() {
        let signer = SigningKey::from_seed(KeyName::parse("w.example").unwrap(), KeyKind::Ed25519, &[7; 32]).unwrap();
        let public = signer.key().public().try_into().unwrap();
        let der = self_signed(&signer, public).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let pem = dir.path().join("pem");
        let mut openssl = Command::new("openssl")
            .args(["x509", "-inform", "DER", "-subject", "-dates"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        openssl.stdin.take().unwrap().write_all(&der).unwrap();
        let shown = String::from_utf8(openssl.wait_with_output().unwrap().stdout).unwrap();
        std::fs::write(&pem, &shown).unwrap();
        assert!(shown.contains("CN = bastion backend") && shown.contains("notAfter=Dec 31 23:59:59 9999 GMT"), "{shown}");
        let verified = Command::new("openssl").args(["verify", "-CAfile"]).args([&pem, &pem]).output().unwrap();
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    }
}
