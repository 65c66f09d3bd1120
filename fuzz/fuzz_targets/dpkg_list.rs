//! Accepted file lists re-encode to the same bytes, but for the root's own line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use package::dpkg::parse_list;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(paths) = parse_list(bytes, "list") {
        let text: Vec<u8> = paths.iter().flat_map(|path| [b"/", &path[..], b"\n"].concat()).collect();
        let lines = bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| !matches!(*line, b"/\n" | b"/.\n"));
        assert_eq!(text, lines.flatten().copied().collect::<Vec<u8>>());
    }
});
