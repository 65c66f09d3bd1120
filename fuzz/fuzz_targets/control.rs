//! Names, versions and architectures that are accepted are plain; conffiles are absolute.
#![no_main]

use libfuzzer_sys::fuzz_target;
use package::control::{Control, parse_conffiles};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(control) = Control::parse(bytes) {
        let text = format!("Package: {}\nVersion: {}\nArchitecture: {}\n", control.name, control.version, control.architecture);
        let again = Control::parse(text.as_bytes()).expect("canonical fields");
        assert_eq!((again.name, again.version, again.architecture), (control.name, control.version, control.architecture));
    }
    if let Ok(conffiles) = parse_conffiles(bytes) {
        let line = |c: &package::control::Conffile| [if c.remove_on_upgrade { &b"remove-on-upgrade "[..] } else { b"" }, &c.path, b"\n"].concat();
        let text: Vec<u8> = conffiles.iter().flat_map(line).collect();
        assert_eq!(parse_conffiles(&text), Ok(conffiles));
    }
});
