//! Maps of sparse files: where the stored bytes belong.

use super::BLOCK;
use super::header::number;
use super::pax::decimal;
use crate::deb::Refusal;

/// Expanded size and the stored segments (offset, length).
#[derive(Debug)]
pub(super) struct Map {
    pub size: u64,
    pub segments: Vec<(u64, u64)>,
}

impl Map {
    /// The start of an old GNU map, and whether extension blocks follow.
    pub fn from_header(block: &[u8; BLOCK]) -> Result<(Self, bool), Refusal> {
        let mut map = Self { size: number(&block[483..495])?, segments: Vec::new() };
        map.add(&block[386..482])?;
        Ok((map, block[482] != 0))
    }

    /// Adds an extension block; true when another one follows.
    pub fn extend(&mut self, block: &[u8; BLOCK]) -> Result<bool, Refusal> {
        self.add(&block[..504])?;
        Ok(block[504] != 0)
    }

    /// The segments, once they are known to be in order, inside the file, and as long as what is stored.
    pub fn checked(&self, stored: u64) -> Result<Vec<(u64, u64)>, Refusal> {
        let (mut end, mut sum) = (0, 0_u64);
        for &(offset, length) in &self.segments {
            if offset < end {
                return Err(Refusal::Tar("a sparse map is out of order"));
            }
            end = offset.saturating_add(length);
            sum = sum.saturating_add(length);
        }
        if end > self.size || sum != stored {
            return Err(Refusal::Tar("a sparse map does not fit its file"));
        }
        Ok(self.segments.clone())
    }

    fn add(&mut self, pairs: &[u8]) -> Result<(), Refusal> {
        for pair in pairs.chunks_exact(24).take_while(|pair| pair[0] != 0) {
            self.segments.push((number(&pair[..12])?, number(&pair[12..])?));
        }
        if self.segments.len() > SEGMENTS {
            return Err(Refusal::TooMany { what: "segments of a sparse file", limit: SEGMENTS as u64 });
        }
        Ok(())
    }
}

/// The map of format 1.0: decimal lines in whole blocks before the data.
#[derive(Debug, Default)]
pub(super) struct InData {
    line: Vec<u8>,
    numbers: Vec<u64>,
}

impl InData {
    /// Takes a block; true when the map is complete (the rest of that block is padding).
    pub fn feed(&mut self, block: &[u8; BLOCK]) -> Result<bool, Refusal> {
        for byte in block {
            if *byte != b'\n' {
                self.line.push(*byte);
                if self.line.len() > 20 {
                    return Err(Refusal::Tar("a malformed sparse map"));
                }
                continue;
            }
            self.numbers.push(decimal(&std::mem::take(&mut self.line))?);
            let count = self.numbers[0];
            if count > SEGMENTS as u64 {
                return Err(Refusal::TooMany { what: "segments of a sparse file", limit: SEGMENTS as u64 });
            }
            if self.numbers.len() as u64 == 1 + 2 * count {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The finished map of a file that expands to `size` bytes.
    pub fn map(self, size: u64) -> Result<Map, Refusal> {
        Ok(Map { size, segments: self.numbers[1..].chunks_exact(2).map(|pair| (pair[0], pair[1])).collect() })
    }
}

/// Segments of one file.
const SEGMENTS: usize = 1 << 16;
