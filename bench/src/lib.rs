//! How fast the log is, measured from outside over the real programs: an open-loop load generator ([`load`], [`wire`]), the
//! growth of the published checkpoint as the measure of speed ([`watch`]), and beside each figure what the disk and the
//! processor could do at best in the same minute ([`machine`]).

pub mod answers;
pub mod figure;
pub mod load;
pub mod machine;
pub mod modes;
pub mod process;
pub mod report;
pub mod requests;
pub mod target;
pub mod watch;
pub mod wire;
