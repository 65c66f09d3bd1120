//! Where packages come from: apt's sources lists, read in both of their formats and written in one (`specs/builder.md`, section 3).
//!
//! A source that apt would believe without a signature is refused. Only what is said here reaches the container's apt: options such
//! as `signed-by` are dropped, because one pinned keyring is used for everything.

// Where they are is said, since a fuzz target includes this file from elsewhere.
#[path = "sources/error.rs"]
mod error;
#[path = "sources/snapshot.rs"]
pub mod snapshot;

use std::path::Path;

use package::deb822;

pub use error::SourcesError;

/// One repository in one suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The repository's root, without a final slash.
    pub uri: String,
    /// The suite below `dists/`.
    pub suite: String,
    /// Its components, at least one.
    pub components: Vec<String>,
    /// For a dated snapshot whose `Valid-Until` may be past: as of when it is judged, in POSIX seconds.
    pub snapshot: Option<u64>,
}

impl Source {
    /// The path of a local repository.
    #[must_use]
    pub fn local(&self) -> Option<&str> {
        let path = self.uri.strip_prefix("file:").or_else(|| self.uri.strip_prefix("copy:"))?;
        Some(path.strip_prefix("//").unwrap_or(path))
    }

    /// Its address and suite as they may be shown: without a user's name and password.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{} {}", without_user(&self.uri), self.suite)
    }

    /// The same, judged as of the time that its address names.
    fn of_snapshot(self, place: &str) -> Result<Self, SourcesError> {
        let time = snapshot::time(&self.uri).ok_or_else(|| SourcesError::NoSnapshot { place: place.to_owned() })?;
        Ok(Self { snapshot: Some(time), ..self })
    }
}

/// The sources of a directory such as `/etc/apt`: `sources.list` and everything in `sources.list.d`, unchecked entries of other
/// suites left out. Only entries of `suite` and of suites such as `suite-updates` count.
///
/// # Errors
/// If a file cannot be read, an entry of the suite is refused, or none is there.
pub fn of_directory(dir: &Path, suite: &str) -> Result<Vec<Source>, SourcesError> {
    let mut files = vec![dir.join("sources.list")];
    if let Ok(entries) = std::fs::read_dir(dir.join("sources.list.d")) {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files.sort();
    let mut sources = Vec::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|end| end == "list" || end == "sources")) {
        if file.exists() {
            sources.extend(read(file, &|name| belongs(name, suite))?);
        }
    }
    if sources.iter().any(|source| source.suite == suite) {
        return Ok(sources);
    }
    Err(SourcesError::NoSource { place: dir.display().to_string(), suite: suite.to_owned() })
}

/// The sources of an image's own `/etc/apt`. Whoever made the image wrote it: a directory of this machine, which containers would then
/// see, is not among them.
///
/// # Errors
/// As for [`of_directory`], and if one is a directory of this machine.
pub fn of_image(dir: &Path, suite: &str) -> Result<Vec<Source>, SourcesError> {
    let sources = of_directory(dir, suite)?;
    match sources.iter().find(|source| source.local().is_some()) {
        Some(source) => Err(SourcesError::OfImage { uri: source.uri.clone() }),
        None => Ok(sources),
    }
}

/// Every source of one file, in whichever format it is written.
///
/// # Errors
/// If it cannot be read, or any entry is refused.
pub fn of_file(file: &Path) -> Result<Vec<Source>, SourcesError> {
    let sources = read(file, &|_| true)?;
    if sources.is_empty() {
        return Err(SourcesError::NoSource { place: file.display().to_string(), suite: "any".to_owned() });
    }
    Ok(sources)
}

/// The list for a container's apt. Local repositories are read with apt's method `copy`: `file` would leave packages where they are,
/// and nothing would be downloaded.
#[must_use]
pub fn encode(sources: &[Source]) -> String {
    let uri = |source: &Source| match source.uri.strip_prefix("file:") {
        Some(path) => format!("copy:{path}"),
        None => source.uri.clone(),
    };
    let options = |source: &Source| if source.snapshot.is_some() { "[check-valid-until=no] " } else { "" };
    let line = |source: &Source| format!("deb {}{} {} {}\n", options(source), uri(source), source.suite, source.components.join(" "));
    sources.iter().map(line).collect()
}

fn read(file: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<Source>, SourcesError> {
    let place = file.display().to_string();
    let text =
        std::fs::read_to_string(file).map_err(|error| SourcesError::Unreadable { place: place.clone(), reason: error.to_string() })?;
    parse(&text, &place, wanted)
}

/// Reads the text of a file, one-line entries or paragraphs; `place` names it in errors, and only wanted suites are taken.
///
/// # Errors
/// What is malformed, or would not be authenticated.
pub fn parse(text: &str, place: &str, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<Source>, SourcesError> {
    let is_list = text.lines().map(str::trim_start).any(|line| line.starts_with("deb ") || line.starts_with("deb-src "));
    if is_list { parse_list(text, place, wanted) } else { parse_paragraphs(text, place, wanted) }
}

fn parse_list(text: &str, place: &str, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<Source>, SourcesError> {
    let mut sources = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let place = format!("{place}:{}", number + 1);
        let line = line.split('#').next().unwrap_or_default().trim();
        let Some((kind, rest)) = line.split_once(char::is_whitespace) else {
            if line.is_empty() { continue } else { return Err(SourcesError::Malformed { place }) }
        };
        let (options, rest) = split_options(rest.trim()).ok_or_else(|| SourcesError::Malformed { place: place.clone() })?;
        let mut words = rest.split_whitespace();
        let (Some(uri), Some(suite)) = (words.next(), words.next()) else { return Err(SourcesError::Malformed { place }) };
        match kind {
            "deb" if wanted(suite) => {}
            "deb" | "deb-src" => continue,
            _ => return Err(SourcesError::Malformed { place }),
        }
        for (option, value) in &options {
            check_option(option, value, &place)?;
        }
        let source = source(uri, suite, words.map(str::to_owned).collect(), &place)?;
        let lasts = options.iter().any(|(option, value)| option.eq_ignore_ascii_case(VALID_UNTIL) && is_no(value));
        sources.push(if lasts { source.of_snapshot(&place)? } else { source });
    }
    Ok(sources)
}

/// `[name=value name=value] rest`.
fn split_options(text: &str) -> Option<(Vec<(&str, &str)>, &str)> {
    let Some(inside) = text.strip_prefix('[') else { return Some((Vec::new(), text)) };
    let (options, rest) = inside.split_once(']')?;
    let options = options.split_whitespace().map(|word| word.split_once('=')).collect::<Option<Vec<_>>>()?;
    Some((options, rest))
}

fn parse_paragraphs(text: &str, place: &str, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<Source>, SourcesError> {
    // Comments are apt's addition to the format.
    let mut plain: String = text.lines().filter(|line| !line.starts_with('#')).flat_map(|line| [line, "\n"]).collect();
    plain.push('\n');
    let mut sources = Vec::new();
    for (number, paragraph) in deb822::paragraphs(plain.as_bytes()).enumerate() {
        let place = format!("{place}, paragraph {}", number + 1);
        let malformed = || SourcesError::Malformed { place: place.clone() };
        let paragraph = paragraph.map_err(|_| malformed())?;
        let words = |name: &'static str| -> Result<Vec<String>, SourcesError> {
            let text = paragraph.text(name).map_err(|_| malformed())?.unwrap_or_default();
            Ok(text.split_whitespace().map(str::to_owned).collect())
        };
        let (types, suites) = (words("Types")?, words("Suites")?);
        let disabled = words("Enabled")?.first().is_some_and(|value| is_no(value));
        if disabled || !types.iter().any(|word| word == "deb") || !suites.iter().any(|suite| wanted(suite)) {
            continue;
        }
        for option in UNSAFE {
            for value in words(option)? {
                check_option(option, &value, &place)?;
            }
        }
        let lasts = words(VALID_UNTIL)?.iter().any(|value| is_no(value));
        let components = words("Components")?;
        for uri in words("URIs")? {
            for suite in suites.iter().filter(|suite| wanted(suite)) {
                let source = source(&uri, suite, components.clone(), &place)?;
                sources.push(if lasts { source.of_snapshot(&place)? } else { source });
            }
        }
    }
    Ok(sources)
}

fn check_option(option: &str, value: &str, place: &str) -> Result<(), SourcesError> {
    if UNSAFE.iter().any(|name| name.eq_ignore_ascii_case(option)) && !is_no(value) {
        return Err(SourcesError::Unauthenticated { place: place.to_owned(), option: format!("{}={value}", option.to_lowercase()) });
    }
    Ok(())
}

fn source(uri: &str, suite: &str, components: Vec<String>, place: &str) -> Result<Source, SourcesError> {
    if suite.ends_with('/') || components.is_empty() {
        return Err(SourcesError::Flat { place: place.to_owned() });
    }
    let uri = uri.trim_end_matches('/');
    let behind = |scheme: &str| uri.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty());
    let host = |scheme: &str| behind(scheme) && !uri[scheme.len()..].starts_with('/');
    let known = host("http://") || host("https://") || behind("file:/") || behind("copy:/");
    let plain = |word: &str| word.bytes().all(|byte| byte.is_ascii_graphic() && !b"[]\"'\\$`#".contains(&byte));
    if !known || !plain(uri) || !plain(suite) || !components.iter().all(|component| plain(component)) {
        return Err(SourcesError::Malformed { place: place.to_owned() });
    }
    Ok(Source { uri: uri.to_owned(), suite: suite.to_owned(), components, snapshot: None })
}

/// An address without the user's name and password that may stand before the host.
#[must_use]
pub fn without_user(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else { return uri.to_owned() };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

fn belongs(name: &str, suite: &str) -> bool {
    name.strip_prefix(suite).is_some_and(|rest| rest.is_empty() || rest == "-updates" || rest == "-security")
}

/// apt's words for "no"; everything else that could mean yes counts as yes.
fn is_no(value: &str) -> bool {
    ["no", "false", "without", "off", "disable", "0"].iter().any(|word| word.eq_ignore_ascii_case(value))
}

/// apt's option for repositories whose time is over.
const VALID_UNTIL: &str = "Check-Valid-Until";
/// Options that make apt accept what is not signed, or signed badly.
const UNSAFE: [&str; 4] = ["Trusted", "Allow-Insecure", "Allow-Weak", "Allow-Downgrade-To-Insecure"];

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Result<Vec<Source>, SourcesError> {
        parse_list(text, "x", &|_| true)
    }

    fn unsafe_option(result: Result<Vec<Source>, SourcesError>) -> String {
        match result {
            Err(SourcesError::Unauthenticated { option, .. }) => option,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn both_formats_give_the_same_list() {
        let expected = "deb http://a/debian bookworm main\ndeb http://a/debian bookworm-updates main\n";
        let lines = "# c\ndeb [arch=amd64 signed-by=/k] http://a/debian/ bookworm main # c\n\
                     deb-src http://a/debian bookworm main\ndeb http://a/debian bookworm-updates main\n";
        assert_eq!(encode(&list(lines).unwrap()), expected);
        let paragraphs = "Types: deb deb-src\n# c\nURIs: http://a/debian\nSuites: bookworm bookworm-updates\nComponents: main\nSigned-By: /k\n\n\
                          Types: deb\nEnabled: no\nURIs: http://b\nSuites: x\nComponents: y\n";
        assert_eq!(encode(&parse_paragraphs(paragraphs, "x", &|_| true).unwrap()), expected);
    }

    #[test]
    fn passwords_are_not_shown() {
        let sources = list("deb https://user:secret@h:8080/a@b bookworm main\ndeb file:///srv/a@b sid main\n").unwrap();
        assert_eq!((sources[0].place().as_str(), sources[1].place().as_str()), ("https://h:8080/a@b bookworm", "file:///srv/a@b sid"));
        assert_eq!((without_user("http://a@b@h").as_str(), without_user("file:/srv@x").as_str()), ("http://h", "file:/srv@x"));
    }

    #[test]
    fn what_was_read_is_written_and_read_again() {
        let text = "deb http://a/debian bookworm main non-free-firmware\ndeb https://b:8080/x y-updates z\n";
        let sources = list(text).unwrap();
        assert_eq!(encode(&sources), text);
        // Single changed bytes: refused, or read as something that again is written the way it is read.
        for at in 0..text.len() {
            for byte in *b" /[]=#\n\0\xc3:" {
                let mut changed = text.as_bytes().to_vec();
                changed[at] = byte;
                let Ok(sources) = String::from_utf8(changed).map_err(|_| ()).and_then(|text| list(&text).map_err(|_| ())) else { continue };
                assert_eq!(list(&encode(&sources)), Ok(sources));
            }
        }
    }

    #[test]
    fn unsigned_sources_are_refused_in_every_spelling() {
        assert_eq!(unsafe_option(list("deb [trusted=yes] http://a s main\n")), "trusted=yes");
        assert_eq!(unsafe_option(list("deb [ arch=amd64 Trusted=TRUE ] http://a s main\n")), "trusted=TRUE");
        assert_eq!(unsafe_option(list("deb [allow-insecure=1] http://a s main\n")), "allow-insecure=1");
        assert_eq!(unsafe_option(list("deb [allow-weak=yes] http://a s main\n")), "allow-weak=yes");
        let paragraph = "Types: deb\nURIs: http://a\nSuites: s\nComponents: main\nTrusted: yes\n";
        assert_eq!(unsafe_option(parse_paragraphs(paragraph, "x", &|_| true)), "trusted=yes");
        assert!(list("deb [trusted=no] http://a s main\n").is_ok());
    }

    #[test]
    fn only_dated_snapshots_may_be_over() {
        let text = "deb [check-valid-until=no] http://h/debian/20240131T000000Z bookworm main\n";
        let sources = list(text).unwrap();
        assert_eq!((sources[0].snapshot, encode(&sources).as_str()), (Some(1_706_659_200), text));
        let paragraph = "Types: deb\nURIs: http://h/debian/20240131T000000Z\nSuites: bookworm\nComponents: main\nCheck-Valid-Until: no\n";
        assert_eq!(parse_paragraphs(paragraph, "x", &|_| true), Ok(sources));
        let undated = list("deb [check-valid-until=no] http://h/debian bookworm main\n");
        assert_eq!(undated, Err(SourcesError::NoSnapshot { place: "x:1".to_owned() }));
        let undated = parse_paragraphs(&paragraph.replace("/20240131T000000Z", ""), "x", &|_| true);
        assert!(matches!(undated, Err(SourcesError::NoSnapshot { .. })), "{undated:?}");
        let plain = list("deb [check-valid-until=yes] http://h/debian/20240131T000000Z bookworm main\n").unwrap();
        assert_eq!(plain[0].snapshot, None);
    }

    #[test]
    fn other_forms_are_refused() {
        let flat = |text| matches!(list(text), Err(SourcesError::Flat { .. }));
        assert!(flat("deb http://a ./\n") && flat("deb http://a s\n"));
        let malformed = |text| matches!(list(text), Err(SourcesError::Malformed { .. }));
        assert!(malformed("deb http://a\n") && malformed("rpm http://a s main\n") && malformed("deb [trusted=yes http://a s main\n"));
        assert!(
            malformed("deb cdrom:[x] s main\n")
                && malformed("deb http:/// s main\n")
                && malformed("deb http://a/$(id) s main\n")
                && malformed("nonsense\n")
        );
    }

    #[test]
    fn an_image_names_no_directory_of_this_machine() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("sources.list");
        for uri in ["file:/etc", "file:///run/podman", "copy:/var/lib/tally-builder/keys"] {
            std::fs::write(&file, format!("deb http://a bookworm main\ndeb {uri} bookworm-updates main\n")).unwrap();
            assert_eq!(of_image(dir.path(), "bookworm"), Err(SourcesError::OfImage { uri: uri.to_owned() }));
            // The operator's own configuration may.
            assert_eq!(of_directory(dir.path(), "bookworm").unwrap().len(), 2);
        }
        std::fs::write(&file, "deb http://a bookworm main\n").unwrap();
        assert_eq!(of_image(dir.path(), "bookworm"), of_directory(dir.path(), "bookworm"));
    }

    #[test]
    fn a_directory_gives_the_suite_and_what_belongs_to_it() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sources.list.d")).unwrap();
        std::fs::write(dir.path().join("sources.list"), "deb http://a bookworm main\ndeb [trusted=yes] http://b other main\n").unwrap();
        let more = "Types: deb\nURIs: http://c\nSuites: bookworm-security trixie\nComponents: main\n";
        std::fs::write(dir.path().join("sources.list.d/more.sources"), more).unwrap();
        std::fs::write(dir.path().join("sources.list.d/off.list.disabled"), "deb http://d bookworm main\n").unwrap();
        let found = of_directory(dir.path(), "bookworm").unwrap();
        assert_eq!(encode(&found), "deb http://a bookworm main\ndeb http://c bookworm-security main\n");
        assert!(matches!(of_directory(dir.path(), "sid"), Err(SourcesError::NoSource { .. })));
        assert!(matches!(of_directory(dir.path(), "other"), Err(SourcesError::Unauthenticated { .. })));
    }
}
