//! `roles propose`: from a draft that a person wrote to the document that the foundation signs.

use std::path::Path;

use attest::Roles;
use client::cli::{Advice, read_limited};

/// Reads a draft and returns the document to sign; `after` is the version before, if there is one.
pub fn propose(draft: &Path, after: Option<&Path>) -> anyhow::Result<String> {
    let roles = Roles::from_draft(&text(draft)?).map_err(|error| anyhow::anyhow!("{}: {error}", draft.display()))?;
    let before = after.map(|path| anyhow::Ok(Roles::parse(&text(path)?)?)).transpose()?;
    let (version, previous) = before.as_ref().map_or((1, None), |before| (before.version + 1, Some(before.digest())));
    if (roles.version, roles.previous) != (version, previous) {
        let previous = previous.map_or_else(|| "none".to_owned(), |digest| digest.to_hex());
        let hint =
            format!("write `version {version}` and `previous {previous}` into the draft, or name the version before with --after FILE");
        return Err(Advice::new("the draft does not continue the roles", hint).into());
    }
    if before.is_some_and(|before| before.origin != roles.origin) {
        return Err(Advice::new("the draft is for another log", "a log keeps its origin for good").into());
    }
    Ok(roles.encode())
}

fn text(path: &Path) -> anyhow::Result<String> {
    let bytes = read_limited(path, attest::roles::MAX_BYTES as u64)?;
    String::from_utf8(bytes).map_err(|_| anyhow::anyhow!("{} is not text", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const DRAFT: &str = "tallystick roles v1\n# ours\norigin example.com/log\nversion 1\nprevious none\n\
        policy e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\nfoundation 1 of 1\n\
        member alice RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\nthreshold 0 of 0\n";

    fn propose_text(draft: &str, after: Option<&str>) -> anyhow::Result<String> {
        let dir = tempfile::tempdir()?;
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).map(|()| path)
        };
        let after = after.map(|text| write("before", text)).transpose()?;
        propose(&write("draft", draft)?, after.as_deref())
    }

    #[test]
    fn a_draft_becomes_the_document() {
        let document = propose_text(DRAFT, None).unwrap();
        assert!(Roles::parse(&document).is_ok() && document != DRAFT);
        assert_eq!(propose_text(&document, None).unwrap(), document);
    }

    #[test]
    fn the_next_version_names_the_one_before() {
        let first = propose_text(DRAFT, None).unwrap();
        let digest = Roles::parse(&first).unwrap().digest();
        let second = DRAFT.replace("version 1", "version 2").replace("previous none", &format!("previous {digest}"));
        assert!(propose_text(&second, Some(&first)).is_ok());
        for (draft, after) in [(second.as_str(), None), (DRAFT, Some(first.as_str()))] {
            let error = propose_text(draft, after).unwrap_err();
            assert!(error.downcast_ref::<Advice>().is_some(), "{error:#}");
        }
        let other = second.replace("example.com/log", "example.com/other");
        assert!(propose_text(&other, Some(&first)).unwrap_err().to_string().contains("another log"));
    }

    #[test]
    fn a_broken_draft_names_its_line() {
        let error = propose_text(&DRAFT.replace("version 1", "version one"), None).unwrap_err().to_string();
        assert!(error.contains("line 4"), "{error}");
    }
}
