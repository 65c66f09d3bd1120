//! What apt tells a `DPkg::Pre-Install-Pkgs` hook, in version 3 of its protocol (`specs/gate.md`, section 2).
//!
//! A line `VERSION 3`, apt's configuration, an empty line, then one line of nine fields for each step. What is accepted has one spelling:
//! it is encoded again and compared.

use package::control::is_package_name;

/// Why what came from apt was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// Another version of the protocol, or none.
    #[error("it does not begin with \"VERSION 3\"; is the line DPkg::Tools::Options in apt's configuration?")]
    Version,
    /// More than [`MAX_BYTES`].
    #[error("more than {MAX_BYTES} bytes")]
    TooLarge,
    /// The last line has no end, or the empty line is missing.
    #[error("it is cut off")]
    Cut,
    /// A line that is none.
    #[error("line {0}: {1}")]
    Line(usize, &'static str),
}

/// Everything that apt said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Lines of apt's configuration, as they came: `Key=value`, percent-encoded.
    pub config: Vec<String>,
    /// What is going to happen, in this order.
    pub steps: Vec<Step>,
}

/// One step of dpkg's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The package's name, without its architecture.
    pub name: String,
    /// What is installed.
    pub old: Option<Version>,
    /// `<` for newer, `=` for the same, `>` for older or gone.
    pub direction: char,
    /// What will be installed.
    pub new: Option<Version>,
    /// What is done.
    pub action: Action,
}

/// A version of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The version.
    pub version: String,
    /// Its architecture, `all` included.
    pub architecture: String,
    /// `same`, `foreign`, `allowed`, `none` or `no`.
    pub multi_arch: String,
}

/// What is done to a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Unpack this file: an absolute path, any bytes but line ends and zero bytes.
    Unpack(Vec<u8>),
    /// Configure what was unpacked.
    Configure,
    /// Remove or purge.
    Remove,
    /// apt has no file to unpack.
    Error,
}

impl Request {
    /// Reads all of it.
    ///
    /// # Errors
    /// See [`ProtocolError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ProtocolError> {
        if bytes.len() as u64 > MAX_BYTES {
            return Err(ProtocolError::TooLarge);
        }
        let rest = bytes.strip_prefix(TITLE).ok_or(ProtocolError::Version)?;
        let mut lines = rest.strip_suffix(b"\n").ok_or(ProtocolError::Cut)?.split(|byte| *byte == b'\n').zip(2..);
        let mut request = Self::default();
        loop {
            let (line, number) = lines.next().ok_or(ProtocolError::Cut)?;
            if line.is_empty() {
                break;
            }
            let text = plain(line).filter(|text| text.contains('=')).ok_or(ProtocolError::Line(number, "not Key=value"))?;
            request.config.push(text.to_owned());
        }
        for (line, number) in lines {
            request.steps.push(Step::parse(line).map_err(|why| ProtocolError::Line(number, why))?);
        }
        if request.encode() == bytes { Ok(request) } else { Err(ProtocolError::Line(0, "it is spelled as apt spells nothing")) }
    }

    /// The bytes that apt would send.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = TITLE.to_vec();
        for line in &self.config {
            bytes.extend_from_slice(line.as_bytes());
            bytes.push(b'\n');
        }
        bytes.push(b'\n');
        for step in &self.steps {
            step.encode(&mut bytes);
        }
        bytes
    }

    /// The value of a configuration key, if it has one and can be decoded.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<String> {
        let raw = self.config.iter().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        let mut parts = raw.split('%');
        let mut bytes = parts.next()?.as_bytes().to_vec();
        for part in parts {
            bytes.extend(crate::config::decode_hex(&part.get(..2)?.to_ascii_lowercase())?);
            bytes.extend_from_slice(&part.as_bytes()[2..]);
        }
        String::from_utf8(bytes).ok()
    }

    /// A directory of apt's, each part relative to the one before, such as `["Dir", "Dir::State", "Dir::State::lists"]`.
    #[must_use]
    pub fn directory(&self, keys: &[&str]) -> std::path::PathBuf {
        keys.iter().filter_map(|key| self.value(key)).fold(std::path::PathBuf::from("/"), |path, part| path.join(part))
    }
}

impl Step {
    fn parse(line: &[u8]) -> Result<Self, &'static str> {
        let mut fields = line.splitn(FIELDS, |byte| *byte == b' ');
        let mut word = || fields.next().and_then(plain).filter(|word| !word.is_empty()).ok_or("fewer than nine fields");
        let name = word()?;
        let old = Version::parse(word()?, word()?, word()?)?;
        let direction = match word()? {
            "<" => '<',
            "=" => '=',
            ">" => '>',
            _ => return Err("the fifth field is none of < = >"),
        };
        let new = Version::parse(word()?, word()?, word()?)?;
        let action = Action::parse(fields.next().ok_or("fewer than nine fields")?)?;
        if !is_package_name(name) {
            return Err("the first field is not the name of a package");
        }
        Ok(Self { name: name.to_owned(), old, direction, new, action })
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        let say = |version: &Option<Version>| version.as_ref().map_or_else(|| ABSENT.join(" "), Version::encode);
        bytes.extend_from_slice(format!("{} {} {} {} ", self.name, say(&self.old), self.direction, say(&self.new)).as_bytes());
        bytes.extend_from_slice(match &self.action {
            Action::Unpack(path) => path,
            Action::Configure => CONFIGURE,
            Action::Remove => REMOVE,
            Action::Error => ERROR,
        });
        bytes.push(b'\n');
    }
}

impl Version {
    fn parse(version: &str, architecture: &str, multi_arch: &str) -> Result<Option<Self>, &'static str> {
        if [version, architecture, multi_arch] == ABSENT {
            return Ok(None);
        }
        if !["same", "foreign", "allowed", "none", "no"].contains(&multi_arch) {
            return Err("no such kind of multi-arch");
        }
        // Versions and architectures are apt's word; what they must be is checked against the package file.
        Ok(Some(Self { version: version.to_owned(), architecture: architecture.to_owned(), multi_arch: multi_arch.to_owned() }))
    }

    fn encode(&self) -> String {
        format!("{} {} {}", self.version, self.architecture, self.multi_arch)
    }
}

impl Action {
    fn parse(field: &[u8]) -> Result<Self, &'static str> {
        match field {
            CONFIGURE => Ok(Self::Configure),
            REMOVE => Ok(Self::Remove),
            ERROR => Ok(Self::Error),
            path if path.starts_with(b"/") && path.len() <= MAX_PATH && !path.contains(&0) => Ok(Self::Unpack(path.to_vec())),
            _ => Err("the last field is no absolute path and no action"),
        }
    }
}

/// A line of printable ASCII.
fn plain(line: &[u8]) -> Option<&str> {
    std::str::from_utf8(line).ok().filter(|text| text.len() <= MAX_LINE && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()))
}

/// A request is at most this large.
pub const MAX_BYTES: u64 = 32 << 20;
const MAX_LINE: usize = 64 << 10;
const MAX_PATH: usize = 4095;
const FIELDS: usize = 9;
const TITLE: &[u8] = b"VERSION 3\n";
const ABSENT: [&str; 3] = ["-", "-", "none"];
const CONFIGURE: &[u8] = b"**CONFIGURE**";
const REMOVE: &[u8] = b"**REMOVE**";
const ERROR: &[u8] = b"**ERROR**";

#[cfg(test)]
mod tests {
    use super::*;

    /// As apt 2.6 sent it, its configuration shortened.
    const REAL: &str = "VERSION 3\nAPT::Architecture=amd64\nDir::State::lists=lists/\nDir::State=var/lib/apt%20x\n\
        DPkg::Pre-Install-Pkgs::=/usr/sbin/dpkg-preconfigure%20--apt%20||%20true\n\n\
        dash 0.5.12-1 amd64 foreign < 0.5.12-2 amd64 foreign /var/cache/apt/archives/dash_0.5.12-2_amd64.deb\n\
        hello - - none < 1:2.10 all none /home/me/a file.deb\n\
        gone 1.0 amd64 same > - - none **REMOVE**\n\
        dash 0.5.12-1 amd64 foreign < 0.5.12-2 amd64 foreign **CONFIGURE**\n\
        lost - - none < 1 amd64 no **ERROR**\n";

    #[test]
    fn what_apt_says_is_read() {
        let request = Request::parse(REAL.as_bytes()).unwrap();
        assert_eq!(request.steps.len(), 5);
        assert_eq!(request.steps[0].action, Action::Unpack(b"/var/cache/apt/archives/dash_0.5.12-2_amd64.deb".to_vec()));
        let hello = &request.steps[1];
        assert_eq!((hello.old.as_ref(), hello.new.as_ref().unwrap().architecture.as_str()), (None, "all"));
        assert_eq!(hello.action, Action::Unpack(b"/home/me/a file.deb".to_vec()));
        let actions: Vec<&Action> = request.steps[2..].iter().map(|step| &step.action).collect();
        assert_eq!(actions, [&Action::Remove, &Action::Configure, &Action::Error]);
        assert_eq!(request.value("APT::Architecture").as_deref(), Some("amd64"));
        assert_eq!(request.directory(&["Dir", "Dir::State", "Dir::State::lists"]).to_str(), Some("/var/lib/apt x/lists/"));
        assert_eq!(Request::parse(b"VERSION 3\n\n"), Ok(Request::default()));
    }

    #[test]
    fn refusals() {
        let changed = |from: &str, to: &str| Request::parse(REAL.replacen(from, to, 1).as_bytes());
        assert_eq!(changed("VERSION 3", "VERSION 2"), Err(ProtocolError::Version));
        assert_eq!(Request::parse(b"/var/cache/apt/archives/a.deb\n"), Err(ProtocolError::Version), "version 1 has no title");
        assert_eq!(Request::parse(b"VERSION 3\nA=b\n"), Err(ProtocolError::Cut));
        assert_eq!(Request::parse(&REAL.as_bytes()[..REAL.len() - 1]), Err(ProtocolError::Cut));
        let line = |number, why| Err(ProtocolError::Line(number, why));
        assert_eq!(changed("=amd64", "amd64"), line(2, "not Key=value"));
        assert_eq!(changed("foreign <", "foreign !"), line(7, "the fifth field is none of < = >"));
        assert_eq!(changed("foreign <", "perhaps <"), line(7, "no such kind of multi-arch"));
        assert_eq!(changed("dash 0", "../dash 0"), line(7, "the first field is not the name of a package"));
        assert_eq!(changed("dash 0.5.12-1 ", "dash "), line(7, "no such kind of multi-arch"));
        assert_eq!(changed(" **REMOVE**", ""), line(9, "fewer than nine fields"));
        assert_eq!(changed("**REMOVE**", "**REPLACE**"), line(9, "the last field is no absolute path and no action"));
        assert_eq!(changed("/home", "home"), line(8, "the last field is no absolute path and no action"));
        assert_eq!(changed("/home", "/ho\0me"), line(8, "the last field is no absolute path and no action"));
        assert_eq!(changed("dash 0", "d\u{e4}sh 0"), line(7, "fewer than nine fields"));
        let long = format!("VERSION 3\nA={}\n\n", "x".repeat(MAX_LINE));
        assert_eq!(Request::parse(long.as_bytes()), line(2, "not Key=value"));
    }
}
