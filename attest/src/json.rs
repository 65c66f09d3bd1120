//! Canonical JSON, RFC 8785 restricted: ASCII member names, integers from 0 to 2^53-1, strings, arrays and objects; no
//! floats, no `null`, no duplicate or unknown members (`specs/statement.md`).
//!
//! Types are ordinary serde structures whose fields stand in the order of their JSON names. What was read is written
//! again and compared, which refuses every other spelling: white space, another order, needless escapes, `1.0`, `+1`.

use serde::{Serialize, de::DeserializeOwned};

/// The largest integer that every JSON implementation reads back exactly, 2^53-1.
pub const MAX_INTEGER: u64 = (1 << 53) - 1;

/// The deepest nesting that any of our structures has, with room.
pub const MAX_DEPTH: usize = 16;

/// Why JSON was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonError {
    /// More bytes than the caller's limit.
    TooLarge,
    /// Nested deeper than [`MAX_DEPTH`].
    TooDeep,
    /// Not JSON, or not of the expected shape: a member is unknown, missing, repeated or of another type.
    Malformed,
    /// The right content in another spelling than the canonical one.
    NotCanonical,
}

/// Reads exactly one canonical value of at most `limit` bytes.
pub fn parse<T: DeserializeOwned + Serialize>(bytes: &[u8], limit: usize) -> Result<T, JsonError> {
    check_limits(bytes, limit)?;
    let value: T = serde_json::from_slice(bytes).map_err(|_| JsonError::Malformed)?;
    if encode(&value) == bytes { Ok(value) } else { Err(JsonError::NotCanonical) }
}

/// The canonical bytes. Types must list their fields in the order of their JSON names.
#[must_use]
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    // Fails only for maps with keys that are not strings and for failing `Serialize` implementations: no type here has either.
    serde_json::to_vec(value).unwrap_or_default()
}

/// Size and nesting, before anything is decoded.
pub(crate) fn check_limits(bytes: &[u8], limit: usize) -> Result<(), JsonError> {
    if bytes.len() > limit {
        return Err(JsonError::TooLarge);
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b'[' | b'{') => depth += 1,
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(JsonError::TooDeep);
        }
    }
    Ok(())
}

/// A hash as 64 lowercase hexadecimal digits, for `#[serde(with = "hash")]`.
pub(crate) mod hash {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use tlog::Hash;

    pub(crate) fn serialize<S: Serializer>(hash: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hash.to_hex())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
        let text = String::deserialize(deserializer)?;
        Hash::from_hex(&text).ok_or_else(|| D::Error::custom("not 64 lowercase hexadecimal digits"))
    }
}

/// An optional hash; absent members are left out by `skip_serializing_if`.
pub(crate) mod hash_option {
    use serde::{Deserializer, Serializer};
    use tlog::Hash;

    pub(crate) fn serialize<S: Serializer>(hash: &Option<Hash>, serializer: S) -> Result<S::Ok, S::Error> {
        match hash {
            Some(hash) => super::hash::serialize(hash, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Hash>, D::Error> {
        super::hash::deserialize(deserializer).map(Some)
    }
}

/// A list of hashes.
pub(crate) mod hashes {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use tlog::Hash;

    #[derive(Serialize, Deserialize)]
    struct Wrapped(#[serde(with = "super::hash")] Hash);

    pub(crate) fn serialize<S: Serializer>(hashes: &[Hash], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(hashes.iter().map(|hash| Wrapped(*hash)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Hash>, D::Error> {
        Ok(Vec::<Wrapped>::deserialize(deserializer)?.into_iter().map(|wrapped| wrapped.0).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        list: Vec<String>,
        number: u64,
    }

    fn refused(text: &str) -> JsonError {
        parse::<Sample>(text.as_bytes(), 100).expect_err("must be refused")
    }

    #[test]
    fn canonical_text_is_read() {
        let text = r#"{"list":["a\"\\\n\u0001é/"],"number":9007199254740991}"#;
        let value: Sample = parse(text.as_bytes(), 100).expect("canonical");
        assert_eq!(value, Sample { list: vec!["a\"\\\n\u{1}é/".into()], number: MAX_INTEGER });
    }

    #[test]
    fn every_other_spelling_is_refused() {
        for text in [
            r#"{ "list":[],"number":1}"#,
            r#"{"number":1,"list":[]}"#,
            r#"{"list":["\u0061"],"number":1}"#,
            r#"{"list":["\/"],"number":1}"#,
            "{\"list\":[],\"number\":1}\n",
            r#"{"list":["\u000A"],"number":1}"#,
        ] {
            assert_eq!(refused(text), JsonError::NotCanonical, "{text}");
        }
    }

    #[test]
    fn other_shapes_are_refused() {
        for text in [
            "",
            "null",
            r#"{"list":[],"number":1.0}"#,
            r#"{"list":[],"number":-1}"#,
            r#"{"list":[],"number":01}"#,
            r#"{"list":[],"number":1,"more":1}"#,
            r#"{"list":[],"number":1,"number":1}"#,
            r#"{"list":[]}"#,
            r#"{"list":null,"number":1}"#,
            r#"{"list":["\ud800"],"number":1}"#,
            r#"{"list":[],"number":1}{}"#,
        ] {
            assert_eq!(refused(text), JsonError::Malformed, "{text}");
        }
    }

    #[test]
    fn limits_come_first() {
        assert_eq!(refused(&" ".repeat(101)), JsonError::TooLarge);
        assert_eq!(refused(&"[".repeat(17)), JsonError::TooDeep);
        assert_eq!(refused(&format!("\"{}\"", "[".repeat(17))), JsonError::Malformed);
        assert_eq!(refused(&format!("\"\\\"{}\"", "[".repeat(17))), JsonError::Malformed);
    }
}
