//! What a database of pacman says about one package, pure (`specs/foreign.md`, section 3).

use tlog::Hash;

/// One package of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// `%NAME%`.
    pub name: String,
    /// `%VERSION%`.
    pub version: String,
    /// `%ARCH%`.
    pub architecture: String,
    /// `%CSIZE%`.
    pub size: u64,
    /// `%SHA256SUM%`.
    pub sha256: Hash,
    /// `%FILENAME%`.
    pub filename: String,
}

/// Reads a file `desc`: `%NAME%`, its lines, an empty line; again and again.
///
/// # Errors
/// Why it is none, in words.
pub fn parse_desc(text: &str) -> Result<Package, String> {
    let one = |name: &str| -> Result<String, String> {
        let title = format!("%{name}%");
        let mut lines = text.lines().skip_while(|line| *line != title).skip(1);
        let value = lines.next().filter(|value| is_word(value));
        let is_single = lines.next().is_none_or(str::is_empty) && text.lines().filter(|line| *line == title).count() == 1;
        value.filter(|_| is_single).map(str::to_owned).ok_or_else(|| format!("{title} is missing or malformed"))
    };
    Ok(Package {
        name: one("NAME")?,
        version: one("VERSION")?,
        architecture: one("ARCH")?,
        size: one("CSIZE")?.parse().map_err(|_| "%CSIZE% is no number")?,
        sha256: Hash::from_hex(&one("SHA256SUM")?).ok_or("%SHA256SUM% is no digest")?,
        filename: one("FILENAME")?,
    })
}

/// One path component of printable ASCII.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.len() <= 1024 && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/')
}
