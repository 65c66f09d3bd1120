//! No signature file makes the reader panic, and none that was not made by the key verifies.
#![no_main]

use libfuzzer_sys::fuzz_target;

const ROLES: &str = include_str!("../../testdata/roles-chain/roles-1.txt");

fuzz_target!(|minisig: &str| {
    if let Ok(signed) = attest::SignedRoles::assemble(ROLES, &[minisig.to_owned()], None) {
        assert_eq!(signed.signatures().len(), 1);
        assert!(signed.verify(&signed.roles().foundation).is_err());
    }
});
