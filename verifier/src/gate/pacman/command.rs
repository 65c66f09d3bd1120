//! How pacman was called: only that tells whether it installs files that stand in no repository.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// A command line of pacman's, as far as it decides which files are installed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invocation {
    /// Files are given (`-U`).
    pub upgrades: bool,
    /// Files, URLs or packages.
    pub operands: Vec<PathBuf>,
    /// Another configuration.
    pub config: Option<PathBuf>,
    /// Another database.
    pub database: Option<PathBuf>,
    /// Other caches.
    pub caches: Vec<PathBuf>,
    /// Where it was called.
    pub directory: PathBuf,
}

impl Invocation {
    /// That of a process; `None` if it is not pacman.
    ///
    /// # Errors
    /// If the process cannot be looked at.
    pub fn of(pid: u32) -> io::Result<Option<Self>> {
        let process = PathBuf::from(format!("/proc/{pid}"));
        let program = std::fs::read_link(process.join("exe"))?;
        if program.file_name() != Some("pacman".as_ref()) {
            return Ok(None);
        }
        let line = std::fs::read(process.join("cmdline"))?;
        let words: Vec<OsString> = line.split(|byte| *byte == 0).skip(1).map(|word| OsString::from_vec(word.to_vec())).collect();
        // The last is what follows the last zero byte: nothing.
        let words = words.split_last().map_or(&[][..], |(_, words)| words);
        Ok(Some(Self { directory: std::fs::read_link(process.join("cwd"))?, ..Self::parse(words) }))
    }

    /// Reads the words after the program's name, as `getopt_long` does with pacman's options.
    #[must_use]
    pub fn parse(words: &[OsString]) -> Self {
        let mut invocation = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let bytes = word.as_bytes();
            if bytes == b"--" {
                invocation.operands.extend(words.by_ref().map(PathBuf::from));
            } else if let Some(option) = bytes.strip_prefix(b"--") {
                let (name, value) = match option.iter().position(|byte| *byte == b'=') {
                    Some(at) => (&option[..at], Some(OsString::from_vec(option[at + 1..].to_vec()))),
                    None => (option, None),
                };
                if let Some(full) = valued(name) {
                    let value = value.or_else(|| words.next().cloned());
                    invocation.set(full, value.as_deref().map(Path::new));
                }
                // "--up" is enough for it, as for getopt.
                invocation.upgrades |= name.len() >= 2 && b"upgrade".starts_with(name);
            } else if let Some(cluster) = bytes.strip_prefix(b"-").filter(|cluster| !cluster.is_empty()) {
                let taking = cluster.iter().position(|letter| b"br".contains(letter));
                invocation.upgrades |= cluster[..taking.unwrap_or(cluster.len())].contains(&b'U');
                if let Some(at) = taking {
                    let rest = Some(&cluster[at + 1..]).filter(|rest| !rest.is_empty()).map(|rest| OsString::from_vec(rest.to_vec()));
                    let value = rest.or_else(|| words.next().cloned());
                    invocation.set(if cluster[at] == b'b' { "dbpath" } else { "root" }, value.as_deref().map(Path::new));
                }
            } else {
                invocation.operands.push(PathBuf::from(word));
            }
        }
        invocation
    }

    fn set(&mut self, option: &str, value: Option<&Path>) {
        let Some(value) = value else { return };
        match option {
            "config" => self.config = Some(value.to_path_buf()),
            "dbpath" => self.database = Some(value.to_path_buf()),
            "cachedir" => self.caches.push(value.to_path_buf()),
            _ => {}
        }
    }
}

/// The full name of a long option that takes a value, from a beginning of it that stands for no other.
fn valued(name: &[u8]) -> Option<&'static str> {
    let exact = VALUED.iter().find(|option| option.as_bytes() == name);
    let mut begun = VALUED.iter().filter(|option| name.len() >= 3 && option.as_bytes().starts_with(name));
    exact.or_else(|| begun.next().filter(|_| begun.next().is_none())).copied()
}

/// pacman's options that are followed by a value.
const VALUED: [&str; 17] = [
    "arch",
    "ask",
    "assume-installed",
    "cachedir",
    "color",
    "config",
    "dbpath",
    "gpgdir",
    "hookdir",
    "ignore",
    "ignoregroup",
    "logfile",
    "overwrite",
    "print-format",
    "root",
    "sysroot",
    "owns",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Invocation {
        Invocation::parse(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn files_are_told_from_packages() {
        for line in [
            "-U a.zst",
            "--upgrade a.zst",
            "--upgr a.zst",
            "-vU a.zst",
            "--noconfirm -U -- a.zst",
            "-b /db -U a.zst",
            "-Ub /db a.zst",
            "-U --ignore x a.zst",
        ] {
            let invocation = parse(line);
            assert!(invocation.upgrades, "{line}");
            assert_eq!(invocation.operands, [PathBuf::from("a.zst")], "{line}");
        }
        for line in ["-Syu a", "-S --dbpath=/U a", "-S -b U a", "-S --config U a", "--sysupgrade -S a"] {
            let invocation = parse(line);
            assert!(!invocation.upgrades, "{line}");
            assert_eq!(invocation.operands, [PathBuf::from("a")], "{line}");
        }
    }

    #[test]
    fn places_are_read() {
        let invocation = parse("-S --config=/c --cachedir /one --cache /two --dbp /db -r /root core/a");
        assert_eq!((invocation.config, invocation.database), (Some("/c".into()), Some("/db".into())));
        assert_eq!(invocation.caches, [PathBuf::from("/one"), PathBuf::from("/two")]);
        assert_eq!(invocation.operands, [PathBuf::from("core/a")]);
    }

    #[test]
    fn another_process_is_not_pacman() {
        assert_eq!(Invocation::of(std::process::id()).unwrap(), None);
        assert!(Invocation::of(u32::MAX).is_err());
    }
}
