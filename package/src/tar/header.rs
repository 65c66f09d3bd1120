//! One 512-byte header block: v7, ustar and GNU.

use super::BLOCK;
use crate::deb::Refusal;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// Another name of an earlier entry, by that entry's name as stored.
    HardLink(Vec<u8>),
    /// A symbolic link with its raw target.
    Symlink(Vec<u8>),
    /// A directory.
    Directory,
    /// A character device: major, minor.
    Char(u32, u32),
    /// A block device: major, minor.
    Block(u32, u32),
    /// A named pipe.
    Fifo,
}

/// The fields of a header block.
#[derive(Debug)]
pub(super) struct Raw {
    pub flag: u8,
    pub path: Vec<u8>,
    pub link: Vec<u8>,
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub size: u64,
    pub uname: Vec<u8>,
    pub gname: Vec<u8>,
    device: [u64; 2],
}

impl Raw {
    /// Checks the checksum and every number. The modification time is never looked at.
    pub fn parse(block: &[u8; BLOCK]) -> Result<Self, Refusal> {
        if octal(&block[148..156])? != checksum(block) {
            return Err(Refusal::Tar("a header's checksum is wrong"));
        }
        let (posix, gnu) = (&block[257..265] == b"ustar\x0000", &block[257..265] == b"ustar  \0");
        let v7 = block[257..265] == [0; 8];
        if !(posix || gnu || v7) {
            return Err(Refusal::Tar("a header has an unknown magic"));
        }
        let mut path = text(&block[..100]);
        if posix && block[345] != 0 {
            path = [&text(&block[345..500])[..], b"/", &path].concat();
        }
        let flag = block[156];
        if flag == b'S' && !gnu {
            return Err(Refusal::Tar("a sparse entry without the GNU magic"));
        }
        let device = if matches!(flag, b'3' | b'4') { [number(&block[329..337])?, number(&block[337..345])?] } else { [0, 0] };
        let owner = |range: std::ops::Range<usize>| if v7 { Vec::new() } else { text(&block[range]) };
        Ok(Self {
            flag,
            path,
            link: text(&block[157..257]),
            mode: u32::try_from(number(&block[100..108])? & 0o7777).unwrap_or(0),
            uid: number(&block[108..116])?,
            gid: number(&block[116..124])?,
            size: number(&block[124..136])?,
            uname: owner(265..297),
            gname: owner(297..329),
            device,
        })
    }
}

/// The entry's name (a directory's trailing slashes gone) and kind, lengths checked.
pub(super) fn name_and_kind(raw: &Raw, mut path: Vec<u8>, link: Vec<u8>, limit: usize) -> Result<(Vec<u8>, Kind), Refusal> {
    if path.len() > limit || link.len() > limit {
        return Err(Refusal::TooLarge { what: "path", limit: limit as u64 });
    }
    if path.contains(&0) || link.contains(&0) {
        return Err(Refusal::Tar("a name holds a zero byte"));
    }
    let kind = kind(raw, link)?;
    if kind == Kind::Directory {
        while path.len() > 1 && path.ends_with(b"/") {
            path.pop();
        }
    }
    Ok((path, kind))
}

fn kind(raw: &Raw, link: Vec<u8>) -> Result<Kind, Refusal> {
    let [major, minor] = raw.device.map(u32::try_from);
    let (Ok(major), Ok(minor)) = (major, minor) else { return Err(Refusal::Tar("a device number is too large")) };
    match raw.flag {
        0 | b'0' | b'7' | b'S' => Ok(Kind::File),
        b'1' | b'2' if link.is_empty() => Err(Refusal::Tar("a link has no target")),
        b'1' => Ok(Kind::HardLink(link)),
        b'2' => Ok(Kind::Symlink(link)),
        b'3' => Ok(Kind::Char(major, minor)),
        b'4' => Ok(Kind::Block(major, minor)),
        b'5' => Ok(Kind::Directory),
        _ => Ok(Kind::Fifo),
    }
}

/// The types that [`name_and_kind`] knows.
pub(super) fn check_type(flag: u8) -> Result<(), Refusal> {
    match flag {
        0 | b'0'..=b'7' | b'S' => Ok(()),
        b'g' => Err(Refusal::Tar("holds a global pax header")),
        _ => Err(Refusal::Tar("holds an entry of an unknown type")),
    }
}

/// The field up to its first zero byte.
fn text(field: &[u8]) -> Vec<u8> {
    field.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
}

/// Octal, or GNU's base 256 for a positive value.
pub(super) fn number(field: &[u8]) -> Result<u64, Refusal> {
    let [first, rest @ ..] = field else { return Ok(0) };
    if *first != 0x80 {
        return octal(field);
    }
    let (high, low) = rest.split_at(rest.len().saturating_sub(8));
    if high.iter().any(|byte| *byte != 0) {
        return Err(Refusal::Tar("a number is too large"));
    }
    Ok(low.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

/// Leading spaces, octal digits, then only spaces and zero bytes; an empty field is 0. At most 12 digits.
fn octal(field: &[u8]) -> Result<u64, Refusal> {
    let start = field.iter().position(|byte| *byte != b' ').unwrap_or(field.len());
    let digits = field[start..].iter().take_while(|byte| (b'0'..=b'7').contains(*byte)).count();
    let (digits, rest) = field[start..].split_at(digits);
    if rest.iter().any(|byte| !matches!(byte, b' ' | 0)) {
        return Err(Refusal::Tar("a number is malformed"));
    }
    Ok(digits.iter().fold(0, |value, digit| value << 3 | u64::from(digit - b'0')))
}

fn checksum(block: &[u8; BLOCK]) -> u64 {
    let field = 148..156;
    block.iter().enumerate().map(|(at, byte)| u64::from(if field.contains(&at) { b' ' } else { *byte })).sum()
}
