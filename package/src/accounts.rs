//! Names of a root's users and groups, from its own `etc/passwd` and `etc/group` (`specs/dpkg.md`, section 3).

use crate::root::{Root, RootError};
use std::collections::BTreeMap;

/// Numbers to names. Number 0 is `root` whatever the files say, and no other number is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    users: BTreeMap<u32, String>,
    groups: BTreeMap<u32, String>,
}

impl Accounts {
    /// Reads both files; an absent one counts as empty.
    pub fn open(root: &Root) -> Result<Self, RootError> {
        let file = |path: &[u8]| root.read(path, LIMIT).map(Option::unwrap_or_default);
        Ok(Self::parse(&file(b"etc/passwd")?, &file(b"etc/group")?))
    }

    /// Lines `name:password:number:...`; others are passed over, as the C library does. The first line of a number counts.
    pub fn parse(passwd: &[u8], group: &[u8]) -> Self {
        Self { users: table(passwd), groups: table(group) }
    }

    /// The user's name, the number in decimal if it has none.
    pub fn user(&self, id: u32) -> String {
        name(&self.users, id)
    }

    /// The group's name, the number in decimal if it has none.
    pub fn group(&self, id: u32) -> String {
        name(&self.groups, id)
    }

    /// The user's number.
    pub fn user_id(&self, name: &str) -> Option<u32> {
        id(&self.users, name)
    }

    /// The group's number.
    pub fn group_id(&self, name: &str) -> Option<u32> {
        id(&self.groups, name)
    }
}

fn name(table: &BTreeMap<u32, String>, id: u32) -> String {
    match (id, table.get(&id)) {
        (0, _) => ROOT.to_owned(),
        (_, Some(name)) => name.clone(),
        (_, None) => id.to_string(),
    }
}

fn id(table: &BTreeMap<u32, String>, name: &str) -> Option<u32> {
    if name == ROOT { Some(0) } else { table.iter().find(|(_, known)| *known == name).map(|(id, _)| *id) }
}

fn table(input: &[u8]) -> BTreeMap<u32, String> {
    let mut table = BTreeMap::new();
    for line in input.split(|byte| *byte == b'\n') {
        let mut fields = line.split(|byte| *byte == b':').map(|field| std::str::from_utf8(field).unwrap_or_default());
        let (Some(name), Some(_), Some(Ok(number))) = (fields.next(), fields.next(), fields.next().map(str::parse)) else { continue };
        let misleading = name == ROOT || name.is_empty() || name.bytes().all(|byte| byte.is_ascii_digit());
        if number != 0 && !misleading && !name.starts_with(['#', '+', '-']) {
            table.entry(number).or_insert_with(|| name.to_owned());
        }
    }
    table
}

const ROOT: &str = "root";
const LIMIT: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_number_zero_and_nothing_else() {
        let passwd = b"toor:x:0:0::/:\nroot:x:1000:0::/:\na:x:7:7::/:\nb:x:7:7::/:\n5:x:8:8::/:\n#c:x:9:9\nbad\nx:y\n\xff:x:10:\n";
        let accounts = Accounts::parse(passwd, b"root:x:0:\ntty:x:5:\n");
        assert_eq!([0, 1000, 7, 8, 9, 10].map(|id| accounts.user(id)), ["root", "1000", "a", "8", "9", "10"]);
        assert_eq!([0, 5, 6].map(|id| accounts.group(id)), ["root", "tty", "6"]);
        assert_eq!((accounts.user_id("root"), accounts.user_id("toor"), accounts.user_id("a")), (Some(0), None, Some(7)));
        assert_eq!(accounts.group_id("tty"), Some(5));
    }
}
