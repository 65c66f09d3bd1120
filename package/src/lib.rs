//! Reads package files and the databases of an installed root, without network and without trust in either.
//!
//! Pages: `specs/{deb,rpm,alpm,apk}.md` (package files) and `specs/{dpkg,installed}.md` (installed roots). Nothing here judges: it says what is there.

pub mod accounts;
pub mod alpm;
pub mod alpmdb;
pub mod apk;
pub mod apkdb;
pub mod apkindex;
pub mod ar;
pub mod compression;
pub mod control;
pub mod deb;
pub mod deb822;
pub mod dpkg;
mod hashing;
pub mod installed;
pub mod owner;
pub mod paths;
pub mod payload;
pub mod release;
pub mod repository;
pub mod root;
pub mod rpm;
pub mod rpmdb;
pub mod tar;
pub mod tarball;
