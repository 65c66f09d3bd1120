//! Prints a root's packages: `cargo run -p package --example database ROOT`

use package::dpkg::{Database, lock_holder};
use package::root::Root;
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let top = std::env::args_os().nth(1).unwrap_or_else(|| "/".into());
    let root = Root::open(top.as_ref())?;
    let database = Database::open(&root)?;
    for package in &database.packages {
        println!("{} {} {} {}", package.display_name(), package.version, package.architecture, package.files.len());
    }
    eprintln!(
        "{} packages, {} diversions, {} statoverrides",
        database.packages.len(),
        database.diversions.len(),
        database.statoverrides.len()
    );
    eprintln!("{} alternatives, lock {:?}, journal {:?}", database.alternatives.len(), lock_holder(&root)?, database.journal);
    Ok(())
}
