//! What apt is believed to have said is what apt would say.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tally::gate::protocol::Request;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = Request::parse(bytes) {
        assert_eq!(request.encode(), bytes);
        for line in &request.config {
            let key = line.split('=').next().unwrap_or_default();
            let _ = request.value(key);
        }
        let lists = request.directory(&["Dir", "Dir::State", "Dir::State::lists"]);
        assert!(lists.is_absolute());
    }
});
