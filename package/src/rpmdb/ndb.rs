//! rpm's own database `Packages.db`, of openSUSE and its kin (`specs/installed.md`, section 2).
//!
//! Slots say where each package's blob lies; the index file beside it only finds packages faster and is never read, so a forged one hides
//! nothing. rpm itself does not look at a blob's checksum when it reads; here it must be right.

use super::RpmdbError;
use super::bytes::{RECORD, malformed, read_at};
use std::collections::HashSet;
use std::fs::File;

type Result<T> = std::result::Result<T, RpmdbError>;

/// Where a package's blob lies, in blocks.
#[derive(Debug, Clone, Copy)]
struct Slot {
    package: u32,
    start: u64,
    blocks: u64,
}

/// Hands over the header of every package, in the order in which they lie.
pub(super) fn blobs(file: &File, sink: &mut dyn FnMut(Vec<u8>) -> Result<()>) -> Result<()> {
    for slot in slots(file)? {
        sink(blob(file, slot)?)?;
    }
    Ok(())
}

/// All used slots, by place: none outside of the file, over another, or of a package that has one already.
fn slots(file: &File) -> Result<Vec<Slot>> {
    let header = read_at(file, 0, HEADER)?;
    if !header.starts_with(b"RpmP") || long(&header, 4) != 0 || header[20..].iter().any(|byte| *byte != 0) {
        return Err(malformed("no ndb database, or of a version that is not known"));
    }
    let (pages, length) = (u64::from(long(&header, 12)), file.metadata().map_err(RpmdbError::read)?.len());
    if pages == 0 || !length.is_multiple_of(BLOCK) || pages * PAGE > length {
        return Err(malformed("an ndb database whose slots are not all there"));
    }
    let mut slots = Vec::new();
    for page in 0..pages {
        let bytes = read_at(file, page * PAGE, PAGE as usize)?;
        for record in bytes.chunks_exact(SLOT).skip(if page == 0 { HEADER / SLOT } else { 0 }) {
            slots.extend(slot(record)?);
        }
    }
    slots.sort_by_key(|slot| slot.start);
    let mut free = pages * PAGE / BLOCK;
    for slot in &slots {
        if slot.start < free {
            return Err(malformed("an ndb blob that lies over another or over the slots"));
        }
        free = slot.start + slot.blocks;
    }
    let packages: HashSet<u32> = slots.iter().map(|slot| slot.package).collect();
    match free * BLOCK <= length && packages.len() == slots.len() {
        true => Ok(slots),
        false => Err(malformed("an ndb blob that runs off its file, or two of one package")),
    }
}

/// One slot; `None` for a free one.
fn slot(record: &[u8]) -> Result<Option<Slot>> {
    let [package, start, blocks] = [4, 8, 12].map(|at| long(record, at));
    match (record.starts_with(b"Slot"), package, start, blocks) {
        (true, 0, 0, 0) => Ok(None),
        (true, 1.., 1.., 1..) => Ok(Some(Slot { package, start: start.into(), blocks: blocks.into() })),
        _ => Err(malformed("a malformed ndb slot")),
    }
}

/// What lies between a blob's head and its tail, which must agree with each other and with the slot.
fn blob(file: &File, slot: Slot) -> Result<Vec<u8>> {
    let damaged = || malformed("an ndb blob that contradicts its slot or itself");
    let bytes =
        usize::try_from(slot.blocks * BLOCK).ok().filter(|bytes| *bytes <= RECORD).ok_or(malformed("an ndb blob of more than 256 MiB"))?;
    let mut whole = read_at(file, slot.start * BLOCK, bytes)?;
    let length = u64::from(long(&whole, 12));
    if !whole.starts_with(b"BlbS") || long(&whole, 4) != slot.package || (HEAD + length + TAIL).div_ceil(BLOCK) != slot.blocks {
        return Err(damaged());
    }
    let (content, tail) = whole.split_at(bytes - TAIL as usize);
    let end = (HEAD + length) as usize;
    let is_padded = content[end..].iter().all(|byte| *byte == 0);
    if !is_padded || long(tail, 0) != adler32(content) || u64::from(long(tail, 4)) != length || &tail[8..] != b"BlbE" {
        return Err(damaged());
    }
    whole.truncate(end);
    whole.drain(..HEAD as usize);
    Ok(whole)
}

/// RFC 1950, section 8.2.
fn adler32(bytes: &[u8]) -> u32 {
    let (mut low, mut high) = (1_u32, 0_u32);
    // As many as fit before the sums can overflow.
    for piece in bytes.chunks(5552) {
        for byte in piece {
            low += u32::from(*byte);
            high += low;
        }
        (low, high) = (low % 65_521, high % 65_521);
    }
    high << 16 | low
}

/// A number of four bytes, the lowest first; callers have as many.
fn long(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
}

const PAGE: u64 = 4096;
const BLOCK: u64 = 16;
const HEADER: usize = 32;
const SLOT: usize = 16;
const HEAD: u64 = 16;
const TAIL: u64 = 12;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    /// A database of one slot page with these packages, as rpm writes it.
    fn database(packages: &[(u32, &[u8])]) -> Vec<u8> {
        let numbers = |numbers: &[u32]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
        let mut file = [b"RpmP".to_vec(), numbers(&[0, 7, 1, 9, 0, 0, 0])].concat();
        let mut blobs = Vec::new();
        for (package, content) in packages {
            let start = (PAGE as usize + blobs.len()) / 16;
            let length = u32::try_from(content.len()).unwrap();
            let mut blob = [b"BlbS".to_vec(), numbers(&[*package, 3, length]), content.to_vec()].concat();
            while !(blob.len() + 12).is_multiple_of(16) {
                blob.push(0);
            }
            let sum = adler32(&blob);
            blob.extend([numbers(&[sum, length]), b"BlbE".to_vec()].concat());
            file.extend(
                [b"Slot".to_vec(), numbers(&[*package, u32::try_from(start).unwrap(), u32::try_from(blob.len() / 16).unwrap()])].concat(),
            );
            blobs.extend(blob);
        }
        while file.len() < PAGE as usize {
            file.extend([b"Slot".to_vec(), vec![0; 12]].concat());
        }
        [file, blobs].concat()
    }

    fn read(bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let mut found = Vec::new();
        blobs(&file, &mut |blob| {
            found.push(blob);
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        assert_eq!((adler32(b""), adler32(b"Wikipedia"), adler32(&vec![0xff; 100_000])), (1, 0x11e6_0398, 0x149a_302c));
    }

    #[test]
    fn blobs_come_out_as_they_were_put_in() {
        let content = vec![7; 6000];
        assert_eq!(read(&database(&[(1, b"one"), (2, &content)])), Ok(vec![b"one".to_vec(), content]));
        assert_eq!(read(&database(&[])), Ok(Vec::new()));
    }

    #[test]
    fn every_other_shape_is_refused() {
        let good = database(&[(1, b"one"), (2, b"two")]);
        let page = PAGE as usize;
        let changed = |at: usize, value: u8| {
            let mut bytes = good.clone();
            assert_ne!(bytes[at], value, "byte {at}");
            bytes[at] = value;
            read(&bytes)
        };
        // Header: magic, version, number of pages, what must be zero.
        for (at, value) in [(0, b'r'), (4, 1), (12, 0), (12, 9), (15, 1), (20, 1), (31, 1)] {
            assert!(changed(at, value).is_err(), "byte {at}");
        }
        // The first slot: magic, package, place, length; and a free one that is not all zero.
        for (at, value) in [(32, b's'), (36, 0), (36, 2), (40, 1), (41, 0), (42, 1), (44, 0), (44, 1), (44, 3), (47, 9), (68, 1), (72, 1)] {
            assert!(changed(at, value).is_err(), "byte {at}");
        }
        // The first blob: head, content, padding, checksum, tail.
        for at in (0..32).filter(|at| !(8..12).contains(at)) {
            assert!(changed(page + at, good[page + at] ^ 1).is_err(), "byte {at} of the blob");
        }
        for cut in [0, 31, 40, page - 1, page, page + 31, page + 32, good.len() - 16, good.len() - 1] {
            assert!(read(&good[..cut]).is_err(), "cut at {cut}");
        }
        assert!(read(&[good, vec![0; 3]].concat()).is_err());
    }
}
