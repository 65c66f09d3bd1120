//! Lists of the files of a package, as makepkg writes them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use package::alpm::mtree::parse;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(list) = parse(bytes) {
        assert_eq!(parse(bytes).as_ref(), Ok(&list));
        // Comments and blank lines say nothing.
        assert_eq!(parse(&[b"#mtree\n\n", bytes].concat()), Ok(list));
    }
});
