//! What a database adds to a header: where the files went (`specs/installed.md`, section 2).

use super::header::Header;
use super::{Refusal, files};
use crate::payload;

/// What rpm did with a file when it installed the package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileState {
    /// It was put there.
    Normal,
    /// Another package's file stands there.
    Replaced,
    /// It was left out: documentation or a language that is not wanted.
    NotInstalled,
    /// It lies on a share that others look after.
    NetShared,
    /// A library of another colour was preferred.
    WrongColor,
}

/// The paths of an installed package and their states.
pub fn installed_files(header: &Header) -> Result<Vec<(Vec<u8>, FileState)>, Refusal> {
    let paths = files::paths(header)?;
    let states = header.numbers(FILE_STATES, 8)?;
    if !states.is_empty() && states.len() != paths.len() {
        return Err(Refusal::Tag(FILE_STATES, "has another number of values than there are files"));
    }
    let mut found = Vec::with_capacity(paths.len());
    for (at, path) in paths.into_iter().enumerate() {
        let below = path.strip_prefix(b"/").ok_or_else(|| files::path_error(&path, "is not absolute"))?;
        let below = if below.is_empty() { continue } else { payload::relative(below)? };
        let state = match states.get(at) {
            None | Some(0) => FileState::Normal,
            Some(1) => FileState::Replaced,
            Some(2) => FileState::NotInstalled,
            Some(3) => FileState::NetShared,
            Some(4) => FileState::WrongColor,
            // "Missing": rpm's own word for files that were never there.
            Some(0xff) => FileState::NotInstalled,
            Some(_) => return Err(Refusal::Tag(FILE_STATES, "holds a state that is not known")),
        };
        found.push((below, state));
    }
    Ok(found)
}

impl Header {
    /// rpm keeps public keys as packages of this name, without architecture.
    #[must_use]
    pub fn is_public_key(&self) -> bool {
        self.text(super::NAME).ok().flatten() == Some(b"gpg-pubkey")
            && self.text(super::ARCH).ok().flatten().is_none_or(|arch| arch == b"(none)")
    }
}

const FILE_STATES: u32 = 1029;
