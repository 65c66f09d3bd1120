//! Capabilities of files, as an export has them.

use std::io::Read;

use super::tree::TreeError;

/// What an entry has as `security.capability`.
pub(super) fn capability<R: Read>(entry: &mut tar::Entry<'_, R>) -> Result<Option<Vec<u8>>, TreeError> {
    let Some(extensions) = entry.pax_extensions()? else { return Ok(None) };
    for extension in extensions {
        let extension = extension?;
        if extension.key_bytes() == CAPABILITY {
            return Ok(Some(extension.value_bytes().to_vec()));
        }
    }
    Ok(None)
}

/// In a user namespace, Linux keeps a capability with the namespace's root (revision 3, capabilities(7)); outside of one the same call
/// would have made revision 2.
pub(super) fn plain_capability(caps: &mut Vec<u8>, first_id: u64) {
    let [_, _, _, 3, .., a, b, c, d] = caps[..] else { return };
    if caps.len() == 24 && u64::from(u32::from_le_bytes([a, b, c, d])) == first_id {
        caps.truncate(20);
        caps[3] = 2;
    }
}

const CAPABILITY: &[u8] = b"SCHILY.xattr.security.capability";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_of_a_namespace_are_those_of_its_root() {
        let plain = |text: &str, first_id| {
            let mut caps = hex::decode(text).unwrap();
            plain_capability(&mut caps, first_id);
            hex::encode(caps)
        };
        let (two, three) = ("0100000200200000000000000000000000000000", "0100000300200000000000000000000000000000e0930400");
        assert_eq!(plain(three, 300_000), two);
        assert_eq!(plain(three, 200_000), three);
        assert_eq!(plain(two, 300_000), two);
        assert_eq!(plain("03", 0), "03");
    }
}
