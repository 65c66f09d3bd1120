//! Prints what a package file would install: `cargo run -p package --example payload FILE...`
fn main() -> std::io::Result<()> {
    for path in std::env::args_os().skip(1) {
        match package::deb::read(std::fs::File::open(&path)?, &package::deb::Limits::default()) {
            Ok(deb) => println!("{} {} {} {} entries", deb.control.name, deb.control.version, hex::encode(deb.sha256), deb.payload.len()),
            Err(error) => println!("{}: {error}", path.display()),
        }
    }
    Ok(())
}
