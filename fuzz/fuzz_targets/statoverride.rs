//! Accepted statoverrides re-encode to lines that mean the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use package::dpkg::{StatOverride, parse_statoverrides};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(known) = parse_statoverrides(bytes, "statoverride") {
        let line = |s: &StatOverride| [format!("{} {} {:o} /", s.user, s.group, s.mode).as_bytes(), &s.path, b"\n"].concat();
        let text: Vec<u8> = known.iter().flat_map(line).collect();
        assert_eq!(parse_statoverrides(&text, "statoverride"), Ok(known));
    }
});
