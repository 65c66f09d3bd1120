//! Reading the lines of a document, in any order and spacing; [`Roles::parse`] then compares with the canonical text.

use tlog::{Hash, KeyKind, VerifierKey};

use super::text::{RolesError, TITLE};
use super::{Foundation, KeyState, Member, MinisignKey, Role, RoleKey, Roles, Security, Vendor};
use crate::day;
use crate::predicate::{is_integer, is_line};
use crate::purl::{self, Scope};

/// Reads all lines, then checks what holds between them.
pub(super) fn read(text: &str) -> Result<Roles, RolesError> {
    let mut draft = Draft::default();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_ascii();
        if !line.is_empty() && !line.starts_with('#') {
            draft.take(line).map_err(|reason| RolesError { line: index + 1, reason })?;
        }
    }
    draft.finish().map_err(|reason| RolesError { line: 0, reason })
}

type Reason = &'static str;

#[derive(Default)]
struct Draft {
    titled: bool,
    origin: Option<String>,
    version: Option<u64>,
    previous: Option<Option<Hash>>,
    policy: Option<Hash>,
    expires: Option<u64>,
    notes: Vec<String>,
    foundation: Option<(usize, usize)>,
    members: Vec<Member>,
    vendors: Vec<Vendor>,
    security: Option<(usize, usize)>,
    keys: Vec<(Role, RoleKey)>,
}

impl Draft {
    fn take(&mut self, line: &str) -> Result<(), Reason> {
        if !self.titled {
            self.titled = line == TITLE;
            return if self.titled { Ok(()) } else { Err("the first line is: tallystick roles v1") };
        }
        let (word, rest) = line.split_once(' ').map_or((line, ""), |(word, rest)| (word, rest.trim_ascii_start()));
        if let Some(role) = Role::ALL.into_iter().find(|role| role.word() == word) {
            return self.take_key(role, rest);
        }
        match word {
            "origin" => once(&mut self.origin, Some(rest).filter(|rest| is_line(rest, 255)).map(str::to_owned), "origin NAME, once"),
            "version" => once(&mut self.version, number(rest).filter(|version| *version > 0), "version NUMBER from 1, once"),
            "previous" if rest == "none" => once(&mut self.previous, Some(None), "previous, once"),
            "previous" => once(&mut self.previous, Hash::from_hex(rest).map(Some), "previous none, or 64 hexadecimal digits; once"),
            "policy" => once(&mut self.policy, Hash::from_hex(rest), "policy and 64 hexadecimal digits, once"),
            "expires" => once(&mut self.expires, day::parse(rest), "expires YEAR-MONTH-DAY, at most once"),
            "note" => {
                push(&mut self.notes, Some(rest).filter(|rest| is_line(rest, 255)).map(str::to_owned), "note TEXT of at most 255 bytes")
            }
            "foundation" => once(&mut self.foundation, m_of_n(rest), "foundation M of N, once"),
            "threshold" => once(&mut self.security, m_of_n(rest), "threshold M of N, once"),
            "member" => push(&mut self.members, member(rest), "member NAME and a minisign public key"),
            "vendor" => push(&mut self.vendors, vendor(rest), "vendor TYPE/NAMESPACE and the signed Origin"),
            "scope" | "retired" | "compromised" => self.take_detail(word, rest),
            _ => Err("unknown word; see specs/roles.md"),
        }
    }

    fn take_key(&mut self, role: Role, rest: &str) -> Result<(), Reason> {
        let plain = rest.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'));
        let key = VerifierKey::parse(rest).ok().filter(|key| plain && rest.len() <= 1_000 && key.kind() == KeyKind::Ed25519);
        let key = key.ok_or("a role is held by an Ed25519 verifier key: name+hash+base64")?;
        // By public key, not by name: one key under two names would count twice.
        if self.keys.iter().any(|(held, known)| *held == role && known.key.public() == key.public()) {
            return Err("the same key has this role already");
        }
        self.keys.push((role, RoleKey { key, scopes: Vec::new(), state: KeyState::Active }));
        Ok(())
    }

    /// A line that belongs to the key above it.
    fn take_detail(&mut self, word: &str, rest: &str) -> Result<(), Reason> {
        let (role, entry) = self.keys.last_mut().ok_or("this line belongs below a key")?;
        if word == "scope" {
            let scoped = matches!(role, Role::Builder | Role::Admin | Role::Rebuilder);
            let scope = Scope::parse(rest).ok().filter(|scope| scoped && !entry.scopes.contains(scope));
            return push(&mut entry.scopes, scope, "scope PATTERN such as pkg:deb/debian/*, once, for builders, admins and rebuilders");
        }
        let state = match (word, rest.strip_prefix("from ")) {
            ("retired", None) if rest.is_empty() => Some(KeyState::Retired),
            ("compromised", Some(entry)) => number(entry).map(KeyState::CompromisedFrom),
            _ => None,
        };
        entry.state = state.filter(|_| entry.state == KeyState::Active).ok_or("retired, or compromised from ENTRY; one of them, once")?;
        Ok(())
    }

    fn finish(self) -> Result<Roles, Reason> {
        let previous = self.previous.ok_or("there is no line: previous")?;
        let version = self.version.ok_or("there is no line: version")?;
        if (version == 1) != previous.is_none() {
            return Err("version 1, and only it, has no previous document");
        }
        if self.keys.iter().any(|(role, entry)| entry.scopes.is_empty() && matches!(role, Role::Builder | Role::Admin | Role::Rebuilder)) {
            return Err("each builder, admin and rebuilder has at least one scope");
        }
        let keys = |role: Role| self.keys.iter().filter(|(held, _)| *held == role).map(|(_, entry)| entry.clone()).collect::<Vec<_>>();
        Ok(Roles {
            version,
            previous,
            builders: keys(Role::Builder),
            admins: keys(Role::Admin),
            rebuilders: keys(Role::Rebuilder),
            security: security(self.security.ok_or("there is no line: threshold")?, keys(Role::Security))?,
            control: keys(Role::Control),
            origin: self.origin.ok_or("there is no line: origin")?,
            policy: self.policy.ok_or("there is no line: policy")?,
            expires: self.expires,
            notes: self.notes,
            foundation: foundation(self.foundation.ok_or("there is no line: foundation")?, self.members)?,
            vendors: distinct_vendors(self.vendors)?,
        })
    }
}

fn foundation((threshold, count): (usize, usize), members: Vec<Member>) -> Result<Foundation, Reason> {
    if members.len() != count || threshold == 0 || threshold > count || count > 64 {
        return Err("foundation M of N: N members follow, 1 to 64, and M is 1 to N");
    }
    for (index, member) in members.iter().enumerate() {
        let earlier = members.iter().take(index);
        if earlier.clone().any(|known| known.name == member.name || known.key.is_same(&member.key)) {
            return Err("members of the foundation differ in name, key and key number");
        }
    }
    Ok(Foundation { threshold, members })
}

fn security((threshold, count): (usize, usize), keys: Vec<RoleKey>) -> Result<Security, Reason> {
    let active = keys.iter().filter(|entry| entry.state == KeyState::Active).count();
    if keys.len() != count || threshold > active || (threshold == 0) != keys.is_empty() {
        return Err("threshold M of N: N security keys follow, M is from 1 to the number of those in use; 0 of 0 without a team");
    }
    Ok(Security { threshold, keys })
}

fn distinct_vendors(vendors: Vec<Vendor>) -> Result<Vec<Vendor>, Reason> {
    let repeated = |(index, vendor): (usize, &Vendor)| {
        vendors.iter().take(index).any(|known| known.kind == vendor.kind && known.origin == vendor.origin)
    };
    if vendors.iter().enumerate().any(repeated) { Err("an Origin belongs to one namespace of each type") } else { Ok(vendors) }
}

fn member(rest: &str) -> Option<Member> {
    let (name, key) = rest.split_once(' ')?;
    let plain = name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte));
    Some(Member { name: Some(name).filter(|_| plain)?.to_owned(), key: MinisignKey::parse(key.trim_ascii_start())? })
}

fn vendor(rest: &str) -> Option<Vendor> {
    let (place, origin) = rest.split_once(' ')?;
    let (kind, namespace) = place.split_once('/')?;
    let origin = origin.trim_ascii_start();
    let good = purl::is_kind(kind) && purl::is_namespace(namespace) && is_line(origin, 255);
    good.then(|| Vendor { kind: kind.to_owned(), namespace: namespace.to_owned(), origin: origin.to_owned() })
}

fn m_of_n(rest: &str) -> Option<(usize, usize)> {
    let (threshold, count) = rest.split_once(" of ")?;
    Some((usize::try_from(number(threshold)?).ok()?, usize::try_from(number(count)?).ok()?))
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| is_integer(*number) && number.to_string() == text)
}

fn once<T>(slot: &mut Option<T>, value: Option<T>, reason: Reason) -> Result<(), Reason> {
    let value = value.filter(|_| slot.is_none()).ok_or(reason)?;
    *slot = Some(value);
    Ok(())
}

fn push<T>(list: &mut Vec<T>, value: Option<T>, reason: Reason) -> Result<(), Reason> {
    list.push(value.ok_or(reason)?);
    Ok(())
}
