//! Verifier keys, signing keys, signature lines and notes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tlog::key::Signer as _;
use tlog::{KeyKind, KeyName, Note};

use super::{Case, case};
use crate::fixture::{ORIGIN, log, name, signer, witness};

/// A key text with the right ID for whatever bytes stand in it (all types but 02 and 05).
fn text_of(name: &str, type_byte: u8, public: &[u8]) -> String {
    let bytes = [&[type_byte], public].concat();
    let id = &tlog::Hash::digest(&[name.as_bytes(), b"\n", &bytes].concat()).to_hex()[..8];
    format!("{name}+{id}+{}", STANDARD.encode(bytes))
}

pub fn vkey() -> Vec<Case> {
    let good = log()[0].key().encode();
    let (id, base64) = good.strip_prefix(ORIGIN).unwrap()[1..].split_once('+').unwrap();
    let with_name = |name: &str| format!("{name}+{id}+{base64}");
    // Points of order 1 and 4; then y = 3, a good point, spelt as p + 3; then a y that is no point's.
    let identity = [&[1][..], &[0; 31]].concat();
    let spelt = [&[0xf0][..], &[0xff; 30], &[0x7f]].concat();
    let nowhere = [&[2][..], &[0; 31]].concat();
    vec![
        case("accept-ed25519", "accept", good.clone()),
        case("accept-cosignature", "accept", witness(1)[0].key().encode()),
        case("accept-ml-dsa", "accept", witness(1)[1].key().encode()),
        case("accept-name-of-any-language", "accept", signer("журнал.example/é", KeyKind::Ed25519, 3).key().encode()),
        case("empty", "refuse Malformed", ""),
        case("no-key", "refuse Malformed", format!("{ORIGIN}+{id}")),
        case("no-name", "refuse Malformed", with_name("")),
        case("name-with-space", "refuse Malformed", with_name("log example")),
        case("name-with-no-break-space", "refuse Malformed", with_name("log\u{a0}example")),
        case("name-with-ideographic-space", "refuse Malformed", with_name("log\u{3000}example")),
        case("name-with-control-byte", "refuse Malformed", with_name("log\u{1}example")),
        case("line-feed-after-it", "refuse Malformed", format!("{good}\n")),
        case("id-in-capitals", "refuse Malformed", good.replace(id, &id.to_uppercase())),
        case("id-too-short", "refuse Malformed", good.replace(id, &id[1..])),
        case("id-not-hexadecimal", "refuse Malformed", good.replace(id, "xyzxyzxy")),
        case("base64-without-padding", "refuse Malformed", witness(1)[1].key().encode().trim_end_matches('=')),
        case("base64-of-nothing", "refuse Malformed", format!("{ORIGIN}+{id}+")),
        case("base64-url-alphabet", "refuse Malformed", good.replace('/', "_").replace(&base64[..4], "AY-_")),
        case("larger-than-any-key", "refuse Malformed", text_of("big", 1, &[0; 9_000])),
        case("another-name", "refuse WrongId", with_name("log.example/two")),
        case("another-id", "refuse WrongId", good.replace(id, "00000000")),
        case("reserved-type", "refuse UnknownKind", text_of("a", 3, &[0; 32])),
        case("unassigned-type", "refuse UnknownKind", text_of("a", 0xff, &[0; 32])),
        case("ed25519-too-long", "refuse BadPoint", text_of("a", 1, &[9; 33])),
        case("ed25519-of-order-1", "refuse BadPoint", text_of("a", 1, &identity)),
        case("ed25519-of-order-4", "refuse BadPoint", text_of("a", 1, &[0; 32])),
        case("ed25519-spelt-otherwise", "refuse BadPoint", text_of("a", 4, &spelt)),
        case("ed25519-not-on-the-curve", "refuse BadPoint", text_of("a", 4, &nowhere)),
        case("ml-dsa-too-short", "refuse BadPoint", text_of("a", 6, &[0; 1311])),
    ]
}

pub fn skey() -> Vec<Case> {
    let good = log()[0].encode().to_string();
    let public = log()[0].key().encode();
    let id = log()[0].key().id().to_string();
    vec![
        case("accept-ed25519", "accept", good.clone()),
        case("accept-cosignature", "accept", witness(1)[0].encode().to_string()),
        case("accept-ml-dsa", "accept", witness(1)[1].encode().to_string()),
        case("public-key", "refuse Malformed", public),
        case("line-feed-after-it", "refuse Malformed", format!("{good}\n")),
        case("seed-too-short", "refuse Malformed", format!("PRIVATE+KEY+{}", text_of("a", 1, &[1; 31]))),
        case("no-seed", "refuse Malformed", format!("PRIVATE+KEY+a+{id}+")),
        case("prefix-in-small-letters", "refuse Malformed", good.replace("PRIVATE+KEY", "private+key")),
        case("larger-than-any-key", "refuse Malformed", format!("{good}{}", "A".repeat(10_000))),
        case("another-id", "refuse WrongId", good.replace(&id, "00000000")),
        case("unknown-type", "refuse UnknownKind", format!("PRIVATE+KEY+{}", text_of("a", 2, &[1; 32]))),
    ]
}

fn line_by(name: &str, bytes: &[u8]) -> String {
    format!("\u{2014} {name} {}", STANDARD.encode(bytes))
}

pub fn line() -> Vec<Case> {
    let good = line_by(ORIGIN, b"idididid");
    vec![
        case("accept", "accept", good.clone()),
        case("accept-five-bytes", "accept", line_by("a", b"12345")),
        case("accept-of-a-kind-to-come", "accept", line_by("a", &[7; 9_001])),
        case("four-bytes", "refuse Malformed", line_by("a", b"1234")),
        case("empty", "refuse Malformed", ""),
        case("hyphen", "refuse Malformed", good.replace('\u{2014}', "-")),
        case("en-dash", "refuse Malformed", good.replace('\u{2014}', "\u{2013}")),
        case("no-name", "refuse Malformed", line_by("", b"12345")),
        case("plus-in-name", "refuse Malformed", line_by("a+b", b"12345")),
        case("two-spaces", "refuse Malformed", line_by("a ", b"12345")),
        case("tab", "refuse Malformed", line_by("a\tb", b"12345")),
        case("space-after-it", "refuse Malformed", format!("{good} ")),
        case("line-feed-after-it", "refuse Malformed", format!("{good}\n")),
        case("base64-without-padding", "refuse Malformed", line_by("a", b"12345").trim_end_matches('=')),
        case("base64-with-loose-bits", "refuse Malformed", line_by("a", b"12345").replace("U=", "V=")),
        case("not-base64", "refuse Malformed", "\u{2014} a 1234!678"),
    ]
}

fn signed(text: &str) -> Note {
    let mut note = Note::unsigned(text).unwrap();
    note.sign(&log()[0]).unwrap();
    note
}

pub fn note() -> Vec<Case> {
    let good = signed("A text.\n").encode();
    let line = good.split_once("\n\n").unwrap().1;
    let mut cases = vec![
        case("accept", "accept", good.clone()),
        case("accept-blank-lines-in-the-text", "accept", signed("one\n\ntwo\n\n\n").encode()),
        case("accept-text-of-one-line-feed", "accept", signed("\n").encode()),
        case("accept-delete-character", "accept", signed("\u{7f}\n").encode()),
        case("accept-the-same-line-twice", "accept", format!("{good}{line}")),
        case("accept-unknown-name", "accept", format!("{good}{}\n", line_by("b", b"12345"))),
        case("accept-known-name-unknown-id", "accept", format!("{good}{}\n", line_by(ORIGIN, b"12345"))),
        case("accept-a-hundred-lines", "accept", many(&good, 99)),
        case("a-hundred-and-one-lines", "refuse TooLarge", many(&good, 100)),
        case("no-known-key", "refuse NoKnownSignature", format!("A text.\n\n{}\n", line_by("b", b"12345"))),
        case("another-text", "refuse BadSignature", good.replace("A text", "B text")),
        case("signature-too-short", "refuse BadSignature", format!("{good}{}\n", short_line())),
        case("second-line-by-the-same-key-wrong", "refuse BadSignature", format!("{good}{}\n", wrong_line())),
    ];
    cases.extend(malformed(&good, line));
    cases
}

fn malformed(good: &str, line: &str) -> Vec<Case> {
    let bad = "refuse Malformed";
    vec![
        case("empty", bad, ""),
        case("two-line-feeds", bad, "\n\n"),
        case("no-signature", bad, "A text.\n\n"),
        case("no-blank-line", bad, format!("A text.\n{line}")),
        case("blank-line-only", bad, format!("\n{line}")),
        case("no-line-feed-at-the-end", bad, good.trim_end()),
        case("blank-line-at-the-end", bad, format!("{good}\n")),
        case("carriage-returns", bad, good.replace('\n', "\r\n")),
        case("control-byte", bad, good.replace("text", "te\u{1}xt")),
        case("tab", bad, good.replace(' ', "\t")),
        case("zero-byte", bad, good.replace("text", "te\0xt")),
        case("not-utf-8", bad, [b"\xff", good.as_bytes()].concat()),
        case("text-after-the-signatures", bad, format!("{good}more\n")),
        case("name-with-space", bad, good.replace(ORIGIN, "log example")),
    ]
}

fn many(good: &str, more: usize) -> String {
    format!("{good}{}", format!("{}\n", line_by("b", b"12345")).repeat(more))
}

/// Four bytes that say it is the log's, and too few after them.
fn short_line() -> String {
    line_by(ORIGIN, &[&log()[0].key().id().0[..], &[1; 63]].concat())
}

fn wrong_line() -> String {
    line_by(ORIGIN, &[&log()[0].key().id().0[..], &[1; 64]].concat())
}

#[test]
fn names() {
    assert_eq!(name("a").to_string(), "a");
    for white in (0..=char::MAX.into()).filter_map(char::from_u32).filter(|c| c.is_whitespace()) {
        assert_eq!(KeyName::parse(&format!("a{white}b")), None, "{white:?}");
    }
}
