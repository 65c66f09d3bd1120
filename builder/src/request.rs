//! A package as a person names it: `name`, `name=version`, `name:arch`, `name:arch=version`.

use std::fmt;
use std::str::FromStr;

use package::control::Control;

/// One package to attest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// Its name.
    pub name: String,
    /// Its architecture; the image's own, or `all`, if absent.
    pub architecture: Option<String>,
    /// Its version; the newest if absent.
    pub version: Option<String>,
}

/// Not a package's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not of the form NAME, NAME=VERSION, NAME:ARCH or NAME:ARCH=VERSION")]
pub struct NotARequest(String);

impl FromStr for Request {
    type Err = NotARequest;

    fn from_str(text: &str) -> Result<Self, NotARequest> {
        let refused = || NotARequest(text.to_owned());
        let (rest, version) = text.split_once('=').map_or((text, None), |(rest, version)| (rest, Some(version)));
        let (name, architecture) = rest.split_once(':').map_or((rest, None), |(name, arch)| (name, Some(arch)));
        let fits = is_word(name, b"+-._@")
            && architecture.is_none_or(|arch| is_word(arch, b"-_") && arch != "any")
            && version.is_none_or(|version| is_word(version, b"+-.~:^_"));
        if !fits {
            return Err(refused());
        }
        let owned = |part: Option<&str>| part.map(str::to_owned);
        Ok(Self { name: name.to_owned(), architecture: owned(architecture), version: owned(version) })
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(architecture) = &self.architecture {
            write!(f, ":{architecture}")?;
        }
        self.version.as_ref().map_or(Ok(()), |version| write!(f, "={version}"))
    }
}

impl Request {
    /// Whether a package file is the one that was asked for, where `native` is the image's architecture.
    #[must_use]
    pub fn is_met_by(&self, control: &Control, native: &str) -> bool {
        let architecture = match &self.architecture {
            Some(wanted) => control.architecture == *wanted || control.architecture == "all",
            None => control.architecture == native || control.architecture == "all",
        };
        self.name == control.name && architecture && self.version.as_ref().is_none_or(|version| *version == control.version)
    }
}

/// Requests become words of a shell script; nothing that a shell might read differently may be among them.
fn is_word(word: &str, more: &[u8]) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphanumeric()) && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_read_back() {
        for text in [
            "jq",
            "libc6:i386",
            "attr=1:2.4.47-2+b1",
            "libc6:i386=2.36-9+deb12u14",
            "g++-12",
            "x=1.0~rc1-1",
            "Mesa-libGL:x86_64=2:24.0^1-1.fc40",
            "lib_x@y",
        ] {
            assert_eq!(text.parse::<Request>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "", "-o", "a b", "jq;id", "jq=$(id)", "jq=1'", "jq:any", "jq:", "jq=", "Jq/../x", "jq*", "jq=1=2", "jq\n", "=1", "jq=-1",
            "jq:-x", "jq!x", "jq x", "é",
        ] {
            assert_eq!(text.parse::<Request>(), Err(NotARequest(text.to_owned())), "{text}");
        }
    }
}
