//! Every example on the pages of `specs/` is read by the code, so that pages cannot drift.

mod common;

use std::fs;

use attest::{Bundle, Envelope, Manifest, Roles, Statement};
use common::testdata;

/// The fenced blocks of a page that are marked with this word.
fn blocks(page: &str, word: &str) -> Vec<String> {
    let text = fs::read_to_string(testdata().join("../specs").join(page)).expect("the page");
    let opening = format!("```{word}\n");
    let blocks: Vec<String> = text.split(&opening).skip(1).map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect();
    assert!(!blocks.is_empty(), "{page} shows no {word}");
    blocks
}

fn only(page: &str, word: &str) -> String {
    let [block] = <[String; 1]>::try_from(blocks(page, word)).expect("one block");
    block
}

/// JSON without the line breaks of the page. Members are in canonical order there, too.
fn compact(pretty: &str) -> String {
    let lines: Vec<&str> = pretty.lines().map(str::trim_start).collect();
    lines.concat().replace("\": ", "\":")
}

#[test]
fn the_envelope() {
    let envelope = Envelope::parse(only("envelope.md", "envelope").trim_end().as_bytes()).expect("canonical");
    assert_eq!(envelope.verify(), Ok(()));
    assert!(Statement::parse(envelope.payload()).is_ok());
}

#[test]
fn the_statements() {
    for (page, count) in [("statement.md", 11), ("advisory.md", 2), ("control-head.md", 1)] {
        let blocks = blocks(page, "statement");
        assert_eq!(blocks.len(), count, "{page}");
        for block in blocks {
            let text = compact(&block);
            assert!(Statement::parse(text.as_bytes()).is_ok(), "{page}: {:?} {text}", Statement::parse(text.as_bytes()));
        }
    }
}

#[test]
fn the_manifest_the_roles_and_the_bundle() {
    assert!(Manifest::parse(only("manifest.md", "manifest").as_bytes()).is_ok());
    assert!(Roles::parse(&only("roles.md", "roles")).is_ok());
    let bundle = Bundle::parse(only("bundle.md", "bundle").as_bytes()).expect("good");
    assert_eq!(bundle.verify(), Ok(()));
}

#[test]
fn every_kind_has_its_section() {
    let text = fs::read_to_string(testdata().join("../specs/statement.md")).expect("the page");
    for kind in attest::predicate::Kind::ALL {
        assert!(text.contains(&format!("\n## {}\n", kind.short_name())), "{}", kind.short_name());
    }
}
