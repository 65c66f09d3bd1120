//! Exit statuses, in one place (`specs/verdict.md`).

/// Everything is as attested, or its difference is explained.
pub const CLEAN: u8 = 0;
/// Something is not as attested; a log that forked counts too.
pub const INTEGRITY: u8 = 1;
/// Too little is known to call it clean.
pub const UNKNOWN: u8 = 2;
/// What is known is too old.
pub const STALE: u8 = 3;
/// The security team warns.
pub const WARNED: u8 = 4;
/// Any failure without a status of its own.
pub const FAILED: u8 = 10;
/// No cache, or one that cannot be used.
pub const NO_CACHE: u8 = 11;
/// A package manager is at work, or another `tally` holds the cache.
pub const BUSY: u8 = 12;
/// The clock is behind what witnesses have signed.
pub const CLOCK: u8 = 13;
/// The log cannot be reached, or what it sent was refused.
pub const NETWORK: u8 = 14;
/// The configuration or a policy was refused.
pub const CONFIG: u8 = 15;
/// The installed database cannot be read.
pub const DATABASE: u8 = 16;
/// The command line was refused (the number that sysexits.h gives to it).
pub const USAGE: u8 = 64;
