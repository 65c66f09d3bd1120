//! The in-toto links that rebuilderd signs: a metablock of signatures and one link, signed over its canonical JSON
//! (`specs/rebuild.md`, section 5).
//!
//! What was verified is what is read: the link is parsed from the canonical bytes under the signature, not from the text around them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;
use tlog::{Hash, KeyKind, KeyName, VerifierKey};

/// A link whose signature was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// SHA-256 of what was signed: the canonical JSON of the link.
    pub sha256: Hash,
    /// The key that signed it.
    pub key: Hash,
    /// `rebuild FILE`.
    pub name: String,
    /// What it was built from, by file name.
    pub materials: BTreeMap<String, Hash>,
    /// What came out, by file name.
    pub products: BTreeMap<String, Hash>,
}

/// Why a link is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// Larger or deeper than any.
    #[error("it has more than 1 MiB")]
    TooLarge,
    /// Not a metablock with a link.
    #[error("it is no signed in-toto link")]
    Malformed,
    /// No signature by one of the keys holds.
    #[error("none of the given keys has signed it")]
    NotSigned,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metablock {
    signatures: Vec<Signature>,
    signed: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    #[serde(rename = "keyid")]
    _key: String,
    sig: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    #[serde(rename = "_type")]
    kind: String,
    name: String,
    materials: BTreeMap<String, Digests>,
    products: BTreeMap<String, Digests>,
    #[serde(rename = "environment", default)]
    _environment: Value,
    #[serde(rename = "byproducts", default)]
    _byproducts: Value,
    #[serde(rename = "command", default)]
    _command: Value,
}

#[derive(Deserialize)]
struct Digests {
    sha256: String,
}

impl Link {
    /// Reads a metablock, and believes it if one of these keys has signed it.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub fn verify(bytes: &[u8], keys: &[VerifierKey]) -> Result<Self, LinkError> {
        if bytes.len() > MAX_BYTES {
            return Err(LinkError::TooLarge);
        }
        let block: Metablock = serde_json::from_slice(bytes).map_err(|_| LinkError::Malformed)?;
        let canonical = canonical(&block.signed).ok_or(LinkError::Malformed)?;
        let signatures: Vec<Vec<u8>> = block.signatures.iter().filter_map(|signature| hex::decode(&signature.sig).ok()).collect();
        let signer = keys.iter().find(|key| signatures.iter().any(|signature| key.verify(&canonical, signature)));
        let key = signer.and_then(|key| Some(Hash::new(key.public().try_into().ok()?))).ok_or(LinkError::NotSigned)?;
        let signed: Signed = serde_json::from_slice(&canonical).map_err(|_| LinkError::Malformed)?;
        let digests = |files: BTreeMap<String, Digests>| {
            files.into_iter().map(|(name, digests)| Some((name, Hash::from_hex(&digests.sha256)?))).collect::<Option<BTreeMap<_, _>>>()
        };
        let both = digests(signed.materials).zip(digests(signed.products)).filter(|_| signed.kind == "link");
        let (materials, products) = both.ok_or(LinkError::Malformed)?;
        Ok(Self { sha256: Hash::digest(&canonical), key, name: signed.name, materials, products })
    }
}

/// OLPC's canonical JSON: members sorted, no white space, nothing escaped but quotes and backslashes, integers only. `None` for what it
/// has no spelling for, and for control characters, which its writers spell in different ways.
#[must_use]
pub fn canonical(value: &Value) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    write(value, &mut bytes, 0)?;
    Some(bytes)
}

fn write(value: &Value, bytes: &mut Vec<u8>, depth: usize) -> Option<()> {
    if depth > MAX_DEPTH {
        return None;
    }
    match value {
        Value::Null => bytes.extend_from_slice(b"null"),
        Value::Bool(value) => bytes.extend_from_slice(if *value { b"true" } else { b"false" }),
        Value::Number(number) if number.is_i64() || number.is_u64() => bytes.extend_from_slice(number.to_string().as_bytes()),
        Value::Number(_) => return None,
        Value::String(text) => string(text, bytes)?,
        Value::Array(values) => {
            bytes.push(b'[');
            for (at, value) in values.iter().enumerate() {
                bytes.extend_from_slice(if at > 0 { b"," } else { b"" });
                write(value, bytes, depth + 1)?;
            }
            bytes.push(b']');
        }
        Value::Object(members) => {
            let members: BTreeMap<&String, &Value> = members.iter().collect();
            bytes.push(b'{');
            for (at, (name, value)) in members.into_iter().enumerate() {
                bytes.extend_from_slice(if at > 0 { b"," } else { b"" });
                string(name, bytes)?;
                bytes.push(b':');
                write(value, bytes, depth + 1)?;
            }
            bytes.push(b'}');
        }
    }
    Some(())
}

fn string(text: &str, bytes: &mut Vec<u8>) -> Option<()> {
    bytes.push(b'"');
    for c in text.chars() {
        match c {
            '"' | '\\' => bytes.push(b'\\'),
            c if c.is_control() => return None,
            _ => {}
        }
        bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    bytes.push(b'"');
    Some(())
}

/// The Ed25519 keys of a PEM file with `PUBLIC KEY` blocks, as rebuilderd writes and serves them; `None` for anything else in it.
#[must_use]
pub fn parse_keys(pem: &str) -> Option<Vec<VerifierKey>> {
    let name = KeyName::parse("rebuilderd")?;
    let mut keys = Vec::new();
    let mut lines = pem.lines().map(str::trim_end).filter(|line| !line.is_empty());
    while let Some(line) = lines.next() {
        if line != "-----BEGIN PUBLIC KEY-----" {
            return None;
        }
        let text: String = lines.by_ref().take_while(|line| *line != "-----END PUBLIC KEY-----").collect();
        let der = STANDARD.decode(text).ok()?;
        let public = ED25519.iter().find_map(|prefix| der.strip_prefix(*prefix)).filter(|public| public.len() == 32)?;
        keys.push(VerifierKey::new(name.clone(), KeyKind::Ed25519, public).ok()?);
    }
    if keys.is_empty() { None } else { Some(keys) }
}

/// The DER that stands before a key: that of RFC 8410, and that of rebuilderd, which has NULL for the parameters.
const ED25519: [&[u8]; 2] =
    [b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00", b"\x30\x2c\x30\x07\x06\x03\x2b\x65\x70\x05\x00\x03\x21\x00"];
const MAX_BYTES: usize = 1 << 20;
const MAX_DEPTH: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use tlog::{Signer as _, SigningKey};

    const SIGNED: &str = r#"{"_type":"link","name":"rebuild x_1_amd64.deb","materials":{"x.buildinfo":{"sha512":"00","sha256":"DIGEST"}},"products":{"x_1_amd64.deb":{"sha256":"DIGEST"}},"environment":null,"byproducts":{},"command":[]}"#;

    fn signer(seed: u8) -> SigningKey {
        SigningKey::from_seed(KeyName::parse("r").unwrap(), KeyKind::Ed25519, &[seed; 32]).unwrap()
    }

    /// A metablock around a link, with a signature over what it is to be signed as.
    fn block(signed: &str, seed: u8) -> String {
        let value: Value = serde_json::from_str(signed).unwrap();
        let signature = hex::encode(signer(seed).sign(&canonical(&value).unwrap_or_default()).unwrap());
        format!(r#"{{"signatures":[{{"keyid":"x","sig":"{signature}"}}],"signed":{signed}}}"#)
    }

    fn link() -> String {
        SIGNED.replace("DIGEST", &Hash::EMPTY.to_hex())
    }

    #[test]
    fn a_signed_link_is_read_from_what_was_signed() {
        let key = signer(1).key().clone();
        let read = Link::verify(block(&link(), 1).as_bytes(), std::slice::from_ref(&key)).unwrap();
        assert_eq!((read.name.as_str(), read.products["x_1_amd64.deb"], read.materials.len()), ("rebuild x_1_amd64.deb", Hash::EMPTY, 1));
        assert_eq!(read.key.as_bytes(), key.public());
        let spaced = block(&link(), 1).replace("\"_type\":\"link\",", "").replace("\"command\"", " \"_type\" : \"link\", \"command\"");
        assert_eq!(Link::verify(spaced.as_bytes(), std::slice::from_ref(&key)), Ok(read), "order and white space are not signed");
    }

    #[test]
    fn other_keys_and_other_words_are_refused() {
        let keys = [signer(1).key().clone()];
        let verify = |text: &str| Link::verify(text.as_bytes(), &keys).map(drop);
        assert_eq!(verify(&block(&link(), 2)), Err(LinkError::NotSigned));
        assert_eq!(verify(&block(&link(), 1).replace("x_1_amd64.deb\":{", "y_1_amd64.deb\":{")), Err(LinkError::NotSigned));
        assert_eq!(verify(&block(&link(), 1).replace("\"sig\":\"", "\"sig\":\"zz")), Err(LinkError::NotSigned));
        assert_eq!(Link::verify(block(&link(), 1).as_bytes(), &[]), Err(LinkError::NotSigned));
        for (from, to) in [
            ("\"link\"", "\"layout\""),
            (&Hash::EMPTY.to_hex(), "00"),
            ("\"command\":[]", "\"other\":[]"),
            ("\"command\":[]", "\"command\":[1.5]"),
            ("\"command\":[]", "\"command\":[\"\\n\"]"),
        ] {
            assert_ne!(verify(&block(&link().replacen(from, to, 1), 1)), Ok(()), "{from} {to}");
        }
        assert_eq!(verify("{}"), Err(LinkError::Malformed));
        assert_eq!(verify(&" ".repeat(MAX_BYTES + 1)), Err(LinkError::TooLarge));
        let deep = format!("{{\"signatures\":[],\"signed\":{}{}}}", "[".repeat(40), "]".repeat(40));
        assert_eq!(verify(&deep), Err(LinkError::Malformed));
    }

    #[test]
    fn keys_are_read_as_the_program_writes_them() {
        // The example of RFC 8410, section 10.1.
        let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        let keys = parse_keys(&pem.repeat(2)).unwrap();
        assert_eq!((keys.len(), hex::encode(&keys[0].public()[..4])), (2, "19bf4409".to_owned()));
        // As rebuilderd 0.28 serves its own.
        let served = "-----BEGIN PUBLIC KEY-----\r\nMCwwBwYDK2VwBQADIQCSyAD78OFKNbC9m66XF5kgK0N0XHqJ+oxqUUDz34YrcQ==\r\n-----END PUBLIC KEY-----\r\n";
        assert_eq!(hex::encode(&parse_keys(served).unwrap()[0].public()[..4]), "92c800fb");
        for bad in
            ["", "x", &pem.replace("MCow", "MCox"), &pem.replace("AxZuE=", "AxZu"), &pem.replace("PUBLIC", "PRIVATE"), &format!("{pem}x\n")]
        {
            assert_eq!(parse_keys(bad), None, "{bad}");
        }
    }
}
