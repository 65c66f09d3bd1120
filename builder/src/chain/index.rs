//! Packages indexes: found stanzas of wanted files.

use std::collections::BTreeSet;
use std::io::Read;

use package::deb822;
use package::release::PackageRecord;
use tlog::Hash;

/// The text behind `""`, `.xz`, `.gz` or `.zst`, at most `limit` bytes.
pub(crate) fn decompress(bytes: Vec<u8>, extension: &str, limit: u64) -> Result<Vec<u8>, String> {
    let reader: Box<dyn Read + '_> = match extension {
        ".xz" => Box::new(liblzma::read::XzDecoder::new_multi_decoder(bytes.as_slice())),
        ".gz" => Box::new(flate2::read::MultiGzDecoder::new(bytes.as_slice())),
        ".zst" => Box::new(zstd::stream::read::Decoder::new(bytes.as_slice()).map_err(|error| error.to_string())?),
        "" => return Ok(bytes),
        _ => return Err(format!("an index that ends in {extension} is not read")),
    };
    let mut text = Vec::new();
    reader.take(limit + 1).read_to_end(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > limit { Err(format!("more than {limit} bytes")) } else { Ok(text) }
}

/// The records whose SHA256 is wanted. Every paragraph is parsed, so that a malformed index is refused whole.
pub(super) fn find(text: &[u8], wanted: &BTreeSet<Hash>) -> Result<Vec<PackageRecord>, String> {
    let mut found = Vec::new();
    visit(text, &|sha256| wanted.contains(sha256), &mut |record| found.push(record))?;
    Ok(found)
}

/// Every record that has a SHA256.
pub(super) fn each(text: &[u8], visitor: &mut dyn FnMut(PackageRecord)) -> Result<(), String> {
    visit(text, &|_| true, visitor)
}

fn visit(text: &[u8], wanted: &dyn Fn(&Hash) -> bool, visitor: &mut dyn FnMut(PackageRecord)) -> Result<(), String> {
    for paragraph in deb822::paragraphs(text) {
        let paragraph = paragraph.map_err(|error| format!("line {}: not a field", error.line))?;
        let Some(sha256) = paragraph.bytes("SHA256") else { continue };
        let sha256 = std::str::from_utf8(sha256).ok().and_then(Hash::from_hex);
        let sha256 = sha256.ok_or_else(|| format!("line {}: SHA256 is not a digest", paragraph.line))?;
        if wanted(&sha256) {
            visitor(PackageRecord::from_paragraph(&paragraph).map_err(|error| malformed(paragraph.line, &error))?);
        }
    }
    Ok(())
}

fn malformed(line: usize, error: &deb822::Error) -> String {
    match error.reason {
        deb822::Reason::Missing(field) | deb822::Reason::Malformed(field) => format!("line {line}: {field} is missing or malformed"),
        _ => format!("line {line}: not a package"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    const TEXT: &str = "Package: a\nVersion: 1\nArchitecture: all\nFilename: pool/a.deb\nSize: 3\n\
                        SHA256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n\n\
                        Package: b\nMD5sum: 0ed6d4c8891eb86358b94bb35d9e4da4\n";

    fn found(text: &str) -> Result<Vec<(String, u64)>, String> {
        let records = find(text.as_bytes(), &BTreeSet::from([Hash::EMPTY]))?;
        Ok(records.into_iter().map(|record| (record.control.name, record.size)).collect())
    }

    #[test]
    fn only_wanted_stanzas_are_found() {
        assert_eq!(found(TEXT), Ok(vec![("a".to_owned(), 3)]));
        assert_eq!(find(TEXT.as_bytes(), &BTreeSet::new()), Ok(Vec::new()));
    }

    #[test]
    fn malformed_indexes_are_refused_whole() {
        assert_eq!(found(&TEXT.replace("Size: 3\n", "")), Err("line 1: Size is missing or malformed".to_owned()));
        assert_eq!(found(&TEXT.replace("Size: 3", "Size: x")), Err("line 1: Size is missing or malformed".to_owned()));
        assert_eq!(found(&TEXT.replace("e3b0", "E3B0")), Err("line 1: SHA256 is not a digest".to_owned()));
        assert_eq!(found(&TEXT.replace("Package: b", "nonsense")), Err("line 8: not a field".to_owned()));
    }

    #[test]
    fn compressed_indexes_are_bounded() {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gz.write_all(TEXT.as_bytes()).unwrap();
        let gz = gz.finish().unwrap();
        assert_eq!(decompress(gz.clone(), ".gz", 1000), Ok(TEXT.as_bytes().to_vec()));
        assert!(decompress(gz.clone(), ".gz", 10).is_err());
        assert!(decompress(gz[..20].to_vec(), ".gz", 1000).is_err());
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 6);
        xz.write_all(TEXT.as_bytes()).unwrap();
        assert_eq!(decompress(xz.finish().unwrap(), ".xz", 1000), Ok(TEXT.as_bytes().to_vec()));
        assert!(decompress(gz.clone(), ".xz", 1000).is_err() && decompress(gz, ".zck", 1000).is_err());
        let zst = zstd::encode_all(TEXT.as_bytes(), 3).unwrap();
        assert_eq!(decompress(zst.clone(), ".zst", 1000), Ok(TEXT.as_bytes().to_vec()));
        assert!(decompress(zst, ".zst", 10).is_err());
    }
}
