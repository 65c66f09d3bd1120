//! Prints the packages of a root's rpm database: `cargo run --example rpmdb -- ROOT`.

use package::root::Root;
use package::rpmdb;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Root::open(std::path::Path::new(&std::env::args().nth(1).unwrap_or("/".to_owned())))?;
    let Some(place) = rpmdb::place(&root)? else { return Err("no rpm database".into()) };
    for package in rpmdb::read(&root, place)? {
        println!("{} {} {} files", package.identity, package.header, package.files.len());
    }
    Ok(())
}
