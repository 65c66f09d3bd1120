//! The document's text: short lines for machines between sentences for people. The sentences are part of the format, so
//! that nobody can explain a rule in other words than these.

use std::fmt;

use tlog::Hash;

use super::{RoleKey, Roles, draft};
use crate::day;
use crate::roles::{KeyState, Role};

/// Largest document in bytes.
pub const MAX_BYTES: usize = 40_000;

/// Why a document was refused: the line's number, from 1 (0: the whole document), and what is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RolesError {
    /// From 1.
    pub line: usize,
    /// What is expected.
    pub reason: &'static str,
}

impl fmt::Display for RolesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "roles document: {}", self.reason),
            line => write!(f, "roles document, line {line}: {}", self.reason),
        }
    }
}

impl std::error::Error for RolesError {}

impl Roles {
    /// Reads a document; it must be exactly what [`Roles::encode`] writes.
    pub fn parse(text: &str) -> Result<Self, RolesError> {
        let roles = Self::from_draft(text)?;
        let canonical = roles.encode();
        if canonical == text {
            return Ok(roles);
        }
        let same = canonical.lines().zip(text.lines()).take_while(|(a, b)| a == b).count();
        Err(RolesError { line: same + 1, reason: "not the canonical text here; write the document with Roles::encode" })
    }

    /// Reads a draft: the same lines in any order, with any indentation, comments and empty lines. What
    /// [`Roles::encode`] makes of it is the document to sign.
    pub fn from_draft(text: &str) -> Result<Self, RolesError> {
        if text.len() > MAX_BYTES {
            return Err(RolesError { line: 0, reason: "at most 40,000 bytes" });
        }
        draft::read(text)
    }

    /// The document's text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut lines = vec![TITLE.to_owned(), String::new(), ABOUT.to_owned()];
        lines.push(format!("origin {}", self.origin));
        lines.push(format!("version {}", self.version));
        lines.push(format!("previous {}", self.previous.map_or_else(|| "none".to_owned(), |hash| hash.to_hex())));
        lines.push(format!("policy {}", self.policy));
        if let Some(day) = self.expires {
            lines.extend([EXPIRES.to_owned(), format!("expires {}", day::format(day))]);
        }
        lines.extend(self.notes.iter().map(|note| format!("note {note}")));
        lines.extend([String::new(), FOUNDATION.to_owned()]);
        lines.push(format!("foundation {} of {}", self.foundation.threshold, self.foundation.members.len()));
        lines.extend(self.foundation.members.iter().map(|member| format!("member {} {}", member.name, member.key.as_str())));
        lines.extend([String::new(), VENDORS.to_owned()]);
        lines.extend(self.vendors.iter().map(|vendor| format!("vendor {}/{} {}", vendor.kind, vendor.namespace, vendor.origin)));
        for role in Role::ALL {
            lines.extend([String::new(), sentence(role).to_owned()]);
            if role == Role::Security {
                lines.push(format!("threshold {} of {}", self.security.threshold, self.security.keys.len()));
            }
            lines.extend(self.keys(role).iter().map(|entry| entry.encode(role)));
        }
        lines.push(String::new());
        lines.join("\n")
    }

    /// SHA-256 of the text: what clients pin of version 1, and what version n+1 names.
    #[must_use]
    pub fn digest(&self) -> Hash {
        Hash::digest(self.encode().as_bytes())
    }
}

impl RoleKey {
    fn encode(&self, role: Role) -> String {
        let mut lines = vec![format!("{} {}", role.word(), self.key.encode())];
        lines.extend(self.scopes.iter().map(|scope| format!("  scope {scope}")));
        match self.state {
            KeyState::Active => {}
            KeyState::Retired => lines.push("  retired".to_owned()),
            KeyState::CompromisedFrom(entry) => lines.push(format!("  compromised from {entry}")),
        }
        lines.join("\n")
    }
}

const fn sentence(role: Role) -> &'static str {
    match role {
        Role::Builder => BUILDERS,
        Role::Admin => ADMINS,
        Role::Rebuilder => REBUILDERS,
        Role::Security => SECURITY,
        Role::Control => CONTROL,
    }
}

pub(super) const TITLE: &str = "tallystick roles v1";

const ABOUT: &str = "\
# This document says who may say what in one transparency log.
# It binds when enough members of the foundation have signed it with minisign, and it is
# an entry of the log itself: every entry is judged by the last version before it.
# A key that is \"retired\" says nothing new, what it said stands. A key that is
# \"compromised from\" an entry is not believed from that entry on.
# The policy is the SHA-256 of the file that names the witnesses of the log.";

const EXPIRES: &str = "\
# From this day on these roles are stale: the foundation is to publish the next version before.";

const FOUNDATION: &str = "\
# The foundation decides. So many of these members must sign the next version.";

const VENDORS: &str = "\
# Vendors. Packages of a repository whose signed Origin is the last part of the line
# carry the first part in their package URLs.";

const BUILDERS: &str = "\
# Builders say what package files contain. Each speaks for the packages in its scopes only.";

const ADMINS: &str = "\
# Repository admins say which index of a repository is the current one.";

const REBUILDERS: &str = "\
# Rebuilders say whether building a package again gave the same file.";

const SECURITY: &str = "\
# The security team warns. So many of these keys must say the same before a warning binds.";

const CONTROL: &str = "\
# Control keys say every few minutes which roles and which warning are the newest.";
