//! Lists of packages that repositories publish, as zypper and pacman keep them: no input panics, and a name is only what it says.
#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use tally::gate::pacman::syncdb;
use tally::gate::rpmmd::{advisories, primary};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(found) = primary::parse(bytes, &BTreeSet::from(["alpha", "a&b"])) {
        assert!(found.iter().all(|listed| ["alpha", "a&b"].contains(&listed.nevra.name.as_str())));
    }
    if let Ok(found) = advisories::parse(bytes, &BTreeSet::from(["alpha"])) {
        assert!(found.iter().all(|nevra| nevra.name == "alpha"));
    }
    if let Ok(found) = syncdb::parse(bytes, bytes) {
        assert!(found.iter().all(|listed| !listed.file.contains('/')));
    }
});
