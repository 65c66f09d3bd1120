//! The part of PKCS#11 URIs (RFC 7512) that names one key and how its token is opened.

use std::fmt;

use tlog::{KeyKind, VerifierKey};

/// What such a URI begins with.
pub const SCHEME: &str = "pkcs11:";
/// Longest URI in bytes.
const MAX_BYTES: usize = 2048;
/// Longest token label: the field that holds it has so many bytes.
const MAX_TOKEN: usize = 32;

/// A key in a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    /// The token's label.
    pub token: String,
    /// The label of the key, private and public half.
    pub object: String,
    /// The module, an absolute path.
    pub module: String,
    /// The file that holds the PIN, an absolute path.
    pub pin: String,
}

/// Why a URI was refused, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UriError(pub String);

impl fmt::Display for UriError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for UriError {}

impl Uri {
    /// Reads `pkcs11:token=…;object=…?module-path=…&pin-source=file:…`, the attributes of each part in any order. All four are needed, and
    /// no other one is understood: each would select a key by something that is not looked at.
    ///
    /// # Errors
    /// See [`UriError`]. A PIN in the URI itself is refused, because arguments and settings are not secret.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        let refuse = |reason: &str| Err(UriError(reason.to_owned()));
        let Some(rest) = text.strip_prefix(SCHEME).filter(|_| text.len() <= MAX_BYTES) else {
            return refuse("it does not begin with pkcs11:, or is longer than 2048 bytes");
        };
        let Some((path, query)) = rest.split_once('?') else { return refuse("it has no module-path and no pin-source, after a ?") };
        let (mut token, mut object, mut module, mut pin) = (None, None, None, None);
        let parts = path.split(';').map(|part| (part, true)).chain(query.split('&').map(|part| (part, false)));
        for (part, is_path) in parts {
            let Some((name, value)) = part.split_once('=') else { return refuse("an attribute has no =") };
            let slot = match (name, is_path) {
                ("token", true) => &mut token,
                ("object", true) => &mut object,
                ("module-path", false) => &mut module,
                ("pin-source", false) => &mut pin,
                ("pin-value", false) => return refuse("a PIN does not belong into a URI: put it into a file and give pin-source=file:/…"),
                _ => return Err(UriError(format!("the attribute {name:?} is not understood here"))),
            };
            let value = decode(value).ok_or_else(|| UriError(format!("the value of {name} is not percent-encoded text")))?;
            if value.is_empty() || slot.replace(value).is_some() {
                return Err(UriError(format!("{name} is empty, or stands there twice")));
            }
        }
        let missing = |name: &str| UriError(format!("{name} is missing"));
        let pin: String = pin.ok_or_else(|| missing("pin-source"))?;
        let uri = Self {
            token: token.ok_or_else(|| missing("token"))?,
            object: object.ok_or_else(|| missing("object"))?,
            module: module.ok_or_else(|| missing("module-path"))?,
            pin: pin.strip_prefix("file:").unwrap_or(&pin).to_owned(),
        };
        uri.checked()
    }

    fn checked(self) -> Result<Self, UriError> {
        let refuse = |reason: &str| Err(UriError(reason.to_owned()));
        if self.token.len() > MAX_TOKEN || self.token.ends_with(' ') {
            return refuse("a token's label has at most 32 bytes and does not end in a space");
        }
        if !self.module.starts_with('/') || !self.pin.starts_with('/') {
            return refuse("module-path and pin-source are absolute paths");
        }
        Ok(self)
    }

    /// The URI in one spelling.
    #[must_use]
    pub fn encode(&self) -> String {
        let Self { token, object, module, pin } = self;
        let [token, object, module, pin] = [token, object, module, pin].map(|value| encode(value));
        format!("{SCHEME}token={token};object={object}?module-path={module}&pin-source=file:{pin}")
    }
}

/// What a key file says of a key in a token: two lines, the URI and the verifier key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InToken {
    /// Where the key is.
    pub uri: Uri,
    /// Its public half, with its name and type.
    pub key: VerifierKey,
}

impl InToken {
    /// Reads the two lines; `None` unless they are exactly what [`InToken::encode`] gives.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (uri, key) = text.strip_suffix('\n')?.split_once('\n')?;
        let key = VerifierKey::parse(key).ok().filter(|key| key.kind() != KeyKind::MlDsa44)?;
        Some(Self { uri: Uri::parse(uri).ok()?, key }).filter(|parsed| parsed.encode() == text)
    }

    /// The two lines.
    #[must_use]
    pub fn encode(&self) -> String {
        format!("{}\n{}\n", self.uri.encode(), self.key.encode())
    }
}

fn encode(value: &str) -> String {
    let mut text = String::new();
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// The text behind percent signs; `None` for anything that is not visible text afterwards.
fn decode(value: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let (high, low) = (hex(rest.next()?)?, hex(rest.next()?)?);
                bytes.push(high << 4 | low);
            }
            b'!'..=b'~' => bytes.push(byte),
            _ => return None,
        }
    }
    String::from_utf8(bytes).ok().filter(|text| !text.chars().any(char::is_control))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "pkcs11:token=tally%20one;object=log?module-path=/usr/lib/m.so&pin-source=file:/etc/tally/pin";

    #[test]
    fn one_key_has_one_spelling() {
        let uri = Uri::parse(GOOD).unwrap();
        assert_eq!((uri.token.as_str(), uri.object.as_str()), ("tally one", "log"));
        assert_eq!((uri.module.as_str(), uri.pin.as_str()), ("/usr/lib/m.so", "/etc/tally/pin"));
        assert_eq!(uri.encode(), GOOD);
        let other = "pkcs11:object=log;token=tally%20%6fne?pin-source=/etc/tally/pin&module-path=/usr/lib/m.so";
        assert_eq!(Uri::parse(other).unwrap(), uri);
    }

    #[test]
    fn anything_else_is_refused_with_the_reason() {
        for (from, to, reason) in [
            ("pkcs11:", "pkcs12:", "begin with"),
            ("?module", ";module", "no module-path"),
            ("token=tally%20one;", "", "token is missing"),
            ("object=log", "object=", "object is empty"),
            ("object=log", "object=log;object=log", "twice"),
            ("object=log", "object=log;serial=3", "\"serial\""),
            ("object=log", "object=l g", "percent-encoded"),
            ("object=log", "object=l%0ag", "percent-encoded"),
            ("object=log", "object=%ff", "percent-encoded"),
            ("object=log", "object=%4", "percent-encoded"),
            ("object=log", "object", "no ="),
            ("tally%20one", "tally%20", "end in a space"),
            ("tally%20one", "123456789012345678901234567890123", "32 bytes"),
            ("/usr/lib", "usr/lib", "absolute"),
            ("file:/etc", "file:etc", "absolute"),
            ("pin-source=file:/etc/tally/pin", "pin-value=1234", "does not belong"),
            ("&pin-source=file:/etc/tally/pin", "", "pin-source is missing"),
        ] {
            let error = Uri::parse(&GOOD.replace(from, to)).unwrap_err();
            assert!(error.0.contains(reason), "{to}: {error}");
        }
        assert!(Uri::parse(&GOOD.replace("log", &"x".repeat(2048))).is_err());
    }
}
