//! Names of owners, as dpkg sees them: a name in the archive stands before a number (`specs/deb.md`, section 5).

/// The user's name: the archive's, else Debian's static name of ids 0 to 99, else the number in decimal.
/// `None` for a malformed name.
pub fn user(name: &[u8], id: u64) -> Option<String> {
    named(name, id, USERS)
}

/// The group's name, by the same rule.
pub fn group(name: &[u8], id: u64) -> Option<String> {
    named(name, id, GROUPS)
}

fn named(name: &[u8], id: u64, table: &[(u64, &str)]) -> Option<String> {
    if name.is_empty() {
        let known = table.iter().find(|(number, _)| *number == id).map(|(_, name)| (*name).to_owned());
        return Some(known.unwrap_or_else(|| id.to_string()));
    }
    is_name(name).then(|| String::from_utf8_lossy(name).into_owned())
}

/// 1 to 32 bytes of letters, digits and `_.-`, not starting with `-`, not digits alone (those would read as an id).
fn is_name(name: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-".contains(byte);
    name.len() <= 32 && name[0] != b'-' && name.iter().all(plain) && !name.iter().all(u8::is_ascii_digit)
}

/// Users of Debian's `base-passwd` below 100, frozen with `package-files/v1`.
const USERS: &[(u64, &str)] = &[
    (0, "root"),
    (1, "daemon"),
    (2, "bin"),
    (3, "sys"),
    (4, "sync"),
    (5, "games"),
    (6, "man"),
    (7, "lp"),
    (8, "mail"),
    (9, "news"),
    (10, "uucp"),
    (13, "proxy"),
    (33, "www-data"),
    (34, "backup"),
    (38, "list"),
    (39, "irc"),
    (42, "_apt"),
];

/// Groups, likewise.
const GROUPS: &[(u64, &str)] = &[
    (0, "root"),
    (1, "daemon"),
    (2, "bin"),
    (3, "sys"),
    (4, "adm"),
    (5, "tty"),
    (6, "disk"),
    (7, "lp"),
    (8, "mail"),
    (9, "news"),
    (10, "uucp"),
    (12, "man"),
    (13, "proxy"),
    (15, "kmem"),
    (20, "dialout"),
    (21, "fax"),
    (22, "voice"),
    (24, "cdrom"),
    (25, "floppy"),
    (26, "tape"),
    (27, "sudo"),
    (29, "audio"),
    (30, "dip"),
    (33, "www-data"),
    (34, "backup"),
    (37, "operator"),
    (38, "list"),
    (39, "irc"),
    (40, "src"),
    (42, "shadow"),
    (43, "utmp"),
    (44, "video"),
    (45, "sasl"),
    (46, "plugdev"),
    (50, "staff"),
    (60, "games"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_before_numbers() {
        assert_eq!(user(b"lp", 5).as_deref(), Some("lp"));
        assert_eq!(user(b"", 5).as_deref(), Some("games"));
        assert_eq!(group(b"", 5).as_deref(), Some("tty"));
        assert_eq!(group(b"", 1000).as_deref(), Some("1000"));
        for bad in [&b"0"[..], b"a b", b"-x", b"a\n", &[b'a'; 33]] {
            assert_eq!(user(bad, 0), None);
        }
    }
}
