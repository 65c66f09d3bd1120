//! Package URLs in their one canonical form, and patterns over them (`specs/statement.md`).
//!
//! `pkg:deb/debian/attr@1:2.4.47-2%2Bb1?arch=amd64`: type, vendor, name, version and the qualifiers of that type. No suite
//! and no release: the same package file has the same name in each of them.

use std::fmt;

/// Why a package URL or a pattern was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PurlError {
    /// Over 1,024 bytes.
    TooLong,
    /// Not of the form `pkg:type/namespace/name@version?qualifiers`.
    Malformed,
    /// A type without rules here: deb, rpm, alpm and apk are known.
    UnknownType,
    /// A needless or missing escape, an explicit epoch 0, or qualifiers other than the type's own in order.
    NotCanonical,
}

impl fmt::Display for PurlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the package URL has more than 1,024 bytes",
            Self::Malformed => "not a package URL of the form pkg:type/namespace/name@version?arch=...",
            Self::UnknownType => "unknown package type; deb, rpm, alpm and apk are known",
            Self::NotCanonical => "the package URL is not in its canonical form",
        })
    }
}

impl std::error::Error for PurlError {}

/// One package: a canonical package URL, taken apart and unescaped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Purl {
    kind: String,
    namespace: String,
    name: String,
    version: String,
    arch: String,
    extra: Option<String>,
}

impl Purl {
    /// A Debian package: `version` as in the control file (an epoch of 0 is dropped), `arch` such as `amd64` or `all`.
    pub fn deb(namespace: &str, name: &str, version: &str, arch: &str) -> Result<Self, PurlError> {
        Self::new("deb", namespace, name, version.strip_prefix("0:").unwrap_or(version), arch, None)
    }

    /// An RPM package: `version` is `version-release`, the epoch stands apart (0 is dropped).
    pub fn rpm(namespace: &str, name: &str, version: &str, arch: &str, epoch: u32) -> Result<Self, PurlError> {
        let epoch = (epoch != 0).then(|| epoch.to_string());
        Self::new("rpm", namespace, name, version, arch, epoch.as_deref())
    }

    /// A pacman package: `version` is `[epoch:]version-release`.
    pub fn alpm(namespace: &str, name: &str, version: &str, arch: &str) -> Result<Self, PurlError> {
        Self::new("alpm", namespace, name, version, arch, None)
    }

    /// An Alpine package; `branch` such as `v3.20`, since branches build the same version again.
    pub fn apk(namespace: &str, name: &str, version: &str, arch: &str, branch: Option<&str>) -> Result<Self, PurlError> {
        Self::new("apk", namespace, name, version, arch, branch)
    }

    fn new(kind: &str, namespace: &str, name: &str, version: &str, arch: &str, extra: Option<&str>) -> Result<Self, PurlError> {
        let purl = Self {
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            version: version.to_owned(),
            arch: arch.to_owned(),
            extra: extra.map(str::to_owned),
        };
        purl.check().map(|()| purl)
    }

    /// The source package of this name and version, of the same type and vendor. An epoch of 0 is dropped where versions carry one; an rpm
    /// package does not name its source's epoch, which is taken to be its own.
    pub fn source(&self, name: &str, version: &str) -> Result<Self, PurlError> {
        let version = if self.kind == "rpm" { version } else { version.strip_prefix("0:").unwrap_or(version) };
        Self::new(&self.kind, &self.namespace, name, version, source_arch(&self.kind), self.extra.as_deref())
    }

    /// Whether it is a source package: `arch=src` for rpm, `arch=source` for the others.
    #[must_use]
    pub fn is_source(&self) -> bool {
        self.arch == source_arch(&self.kind)
    }

    /// Reads the canonical form and nothing else.
    pub fn parse(text: &str) -> Result<Self, PurlError> {
        if text.len() > MAX_BYTES {
            return Err(PurlError::TooLong);
        }
        let purl = split(text).ok_or(PurlError::Malformed)?;
        purl.check()?;
        if purl.to_string() == text { Ok(purl) } else { Err(PurlError::NotCanonical) }
    }

    /// `deb`, `rpm`, `alpm` or `apk`.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The vendor, such as `debian`.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The package's name, unescaped.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version, unescaped; with its epoch for deb and alpm, without for rpm.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The architecture.
    #[must_use]
    pub fn arch(&self) -> &str {
        &self.arch
    }

    /// The epoch qualifier of an rpm package.
    #[must_use]
    pub fn epoch(&self) -> Option<&str> {
        self.extra.as_deref().filter(|_| self.kind == "rpm")
    }

    /// The branch qualifier of an apk package.
    #[must_use]
    pub fn branch(&self) -> Option<&str> {
        self.extra.as_deref().filter(|_| self.kind == "apk")
    }

    fn check(&self) -> Result<(), PurlError> {
        if !is_kind(&self.kind) {
            return Err(PurlError::UnknownType);
        }
        if self.to_string().len() > MAX_BYTES {
            return Err(PurlError::TooLong);
        }
        let word =
            |text: &str, more: &[u8]| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte));
        let plain = is_namespace(&self.namespace) && is_name(&self.name) && word(&self.version, b".-_~+:^%") && word(&self.arch, b"_-.");
        if !plain || (self.kind == "deb" && self.name.bytes().any(|byte| byte.is_ascii_uppercase())) {
            return Err(PurlError::Malformed);
        }
        let is_epoch = |text: &str| text.parse::<u32>().is_ok_and(|epoch| epoch != 0 && epoch.to_string() == text);
        match (self.kind.as_str(), self.extra.as_deref()) {
            ("deb", None) if self.version.starts_with("0:") => Err(PurlError::NotCanonical),
            (_, None) => Ok(()),
            ("rpm", Some(epoch)) if is_epoch(epoch) => Ok(()),
            ("apk", Some(branch)) if word(branch, b"._-") => Ok(()),
            _ => Err(PurlError::NotCanonical),
        }
    }
}

impl fmt::Display for Purl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pkg:{}/{}/{}@{}?arch={}", self.kind, self.namespace, escape(&self.name), escape(&self.version), self.arch)?;
        match (self.kind.as_str(), &self.extra) {
            ("rpm", Some(epoch)) => write!(f, "&epoch={epoch}"),
            ("apk", Some(branch)) => write!(f, "&branch={branch}"),
            _ => Ok(()),
        }
    }
}

/// A pattern of package URLs: `pkg:*`, `pkg:deb/*`, `pkg:deb/debian/*`, `pkg:deb/debian/lib*` or `pkg:deb/debian/attr`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(String);

impl Scope {
    /// Reads a pattern. A star stands only at the end.
    pub fn parse(text: &str) -> Result<Self, PurlError> {
        if text.len() > MAX_BYTES {
            return Err(PurlError::TooLong);
        }
        let scope = Self(text.to_owned());
        if text == "pkg:*" {
            return Ok(scope);
        }
        let body = text.strip_prefix("pkg:").ok_or(PurlError::Malformed)?;
        let (kind, rest) = body.split_once('/').ok_or(PurlError::Malformed)?;
        if !is_repository_kind(kind) {
            return Err(PurlError::UnknownType);
        }
        match rest.split_once('/') {
            None if rest == "*" => Ok(scope),
            Some((namespace, name)) if is_namespace(namespace) && is_name_pattern(name) => Ok(scope),
            _ => Err(PurlError::Malformed),
        }
    }

    /// The pattern.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a package is covered, whatever its version and architecture.
    #[must_use]
    pub fn covers(&self, purl: &Purl) -> bool {
        let text = format!("pkg:{}/{}/{}", purl.kind, purl.namespace, escape(&purl.name));
        match self.0.strip_suffix('*') {
            Some(prefix) => text.starts_with(prefix),
            None => text == self.0,
        }
    }

    /// Whether every package of a vendor is covered.
    #[must_use]
    pub fn covers_namespace(&self, kind: &str, namespace: &str) -> bool {
        self.0.strip_suffix('*').is_some_and(|prefix| format!("pkg:{kind}/{namespace}/").starts_with(prefix))
    }
}

impl Scope {
    /// Whether every package of another pattern is covered.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        match self.0.strip_suffix('*') {
            Some(prefix) => other.0.strip_suffix('*').unwrap_or(&other.0).starts_with(prefix),
            None => self == other,
        }
    }

    /// Whether packages of a vendor may be covered.
    #[must_use]
    pub fn touches_namespace(&self, kind: &str, namespace: &str) -> bool {
        let all = format!("pkg:{kind}/{namespace}/");
        self.0.starts_with(&all) || self.covers_namespace(kind, namespace)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn source_arch(kind: &str) -> &'static str {
    if kind == "rpm" { "src" } else { "source" }
}

/// A package type with rules here.
pub(crate) fn is_kind(text: &str) -> bool {
    matches!(text, "deb" | "rpm" | "alpm" | "apk")
}

/// What a repository can hold: packages, or images of containers, of which only the index is spoken of.
pub(crate) fn is_repository_kind(text: &str) -> bool {
    is_kind(text) || text == "oci"
}

/// A vendor's name: lowercase letters, digits, `.` and `-`, beginning with a letter or digit.
pub(crate) fn is_namespace(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= 64 && text.bytes().next().is_some_and(plain) && text.bytes().all(|byte| plain(byte) || b".-".contains(&byte))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_+@".contains(&byte))
}

/// A name in its escaped form, with or without a final star; or the star alone.
fn is_name_pattern(text: &str) -> bool {
    let prefix = text.strip_suffix('*').unwrap_or(text);
    (text == "*") || unescape(prefix).is_some_and(|name| is_name(&name) && escape(&name) == prefix)
}

/// Percent-escapes everything but unreserved characters and the colon, as the package URL specification has it.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b':' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        let mut value = [0];
        hex::decode_to_slice(digits, &mut value).ok()?;
        bytes.extend(value);
    }
    String::from_utf8(bytes).ok()
}

/// Takes a package URL apart without checking anything.
fn split(text: &str) -> Option<Purl> {
    let (path, qualifiers) = text.strip_prefix("pkg:")?.split_once('?')?;
    let (path, version) = path.split_once('@')?;
    let mut parts = path.splitn(3, '/');
    let (kind, namespace, name) = (parts.next()?, parts.next()?, parts.next()?);
    let (arch, extra) = match qualifiers.split_once('&') {
        Some((arch, extra)) => (arch, Some(extra.split_once('=')?.1.to_owned())),
        None => (qualifiers, None),
    };
    Some(Purl {
        kind: kind.to_owned(),
        namespace: namespace.to_owned(),
        name: unescape(name)?,
        version: unescape(version)?,
        arch: arch.strip_prefix("arch=")?.to_owned(),
        extra,
    })
}

const MAX_BYTES: usize = 1_024;
