//! Package managers, and the repositories of those beside apt, as the configuration names them.

use serde::Deserialize;

/// The package manager of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Manager {
    /// Debian's and its children's.
    #[default]
    Apt,
    /// Alpine's.
    Apk,
    /// Fedora's, Rocky's, Oracle's, Amazon's: version 4 or 5.
    Dnf,
    /// Arch's.
    Pacman,
    /// openSUSE's.
    Zypper,
}

/// A repository of another manager than apt.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repository {
    /// Its name; for pacman also that of its database. `vendors` maps it to a namespace.
    pub name: String,
    /// Its address: http or https.
    pub url: String,
}

impl Manager {
    /// Whether a file is a package of this manager.
    #[must_use]
    pub fn is_package(self, name: &str) -> bool {
        match self {
            Self::Apt => name.ends_with(".deb"),
            Self::Apk => name.ends_with(".apk"),
            Self::Dnf | Self::Zypper => name.ends_with(".rpm"),
            Self::Pacman => name.contains(".pkg.tar") && !name.ends_with(".sig") && !name.ends_with(".part"),
        }
    }
}

impl Repository {
    /// Whether name and address can stand in a package manager's settings.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let host = self.url.strip_prefix("http://").or_else(|| self.url.strip_prefix("https://"));
        let plain = |byte: u8| byte.is_ascii_graphic() && !b"[]\"'\\$`#".contains(&byte);
        let named = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        host.is_some_and(|host| !host.is_empty() && !host.starts_with('/') && host.bytes().all(plain))
            && (1..=64).contains(&self.name.len())
            && self.name.bytes().all(named)
            && self.name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && self.name != "options"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_and_addresses_are_sound() {
        let is_sound = |name: &str, url: &str| Repository { name: name.to_owned(), url: url.to_owned() }.is_sound();
        assert!(is_sound("fedora-40_x.y", "https://mirror.example/fedora/40/") && is_sound("core", "http://127.0.0.1:1/x"));
        for url in ["file:/srv", "http://", "http:///x", "http://a/$(id)", "http://a/b c", "http://a/\nx", "ftp://a"] {
            assert!(!is_sound("x", url), "{url}");
        }
        for name in ["", "options", "a b", "a]", "-a", "a\n", &"x".repeat(65)] {
            assert!(!is_sound(name, "http://a"), "{name}");
        }
    }

    #[test]
    fn packages_are_known_by_their_names() {
        assert!(Manager::Dnf.is_package("a-1-1.x86_64.rpm") && !Manager::Dnf.is_package("a.deb"));
        assert!(Manager::Pacman.is_package("a-1-1-any.pkg.tar.zst") && !Manager::Pacman.is_package("a-1-1-any.pkg.tar.zst.sig"));
        assert!(!Manager::Pacman.is_package("a-1-1-any.pkg.tar.zst.part") && !Manager::Dnf.is_package("a-1-1.x86_64.rpm.part"));
    }
}
