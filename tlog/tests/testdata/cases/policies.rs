//! Policies.

use tlog::key::Signer as _;
use tlog::{KeyKind, Policy};

use super::{Case, case};
use crate::fixture::{log, signer, witness};

fn log_line() -> String {
    format!("log {}\n", log()[0].key().encode())
}

fn witness_line(number: u8) -> String {
    format!("witness w{number} {}\n", witness(number)[0].key().encode())
}

pub fn policy() -> Vec<Case> {
    let three: String = [1, 2, 3].map(witness_line).concat();
    let good = format!("{}{three}group g 2 w1 w2 w3\nquorum g\n", log_line());
    let mut cases = vec![
        case("accept", "accept", good.clone()),
        case("accept-none", "accept", "quorum none\n"),
        case("accept-one-witness", "accept", format!("{}quorum w1\n", witness_line(1))),
        case("accept-url", "accept", good.replace("\nwitness w2", " https://log.example/\nwitness w2")),
        case("accept-comments-and-blanks", "accept", format!("# \u{e9}\n\n \t# two\n{}", good.replace(' ', " \t "))),
        case("accept-comment-not-utf-8", "accept", [b"# \xff\n", good.as_bytes()].concat()),
        case("accept-keywords-as-names", "accept", good.replace("w1", "all").replace("w2", "any").replace("w3", "2")),
        case("accept-two-keys-of-each-witness", "accept", two_keys()),
        case("accept-quorum-before-other-lines", "accept", format!("{}quorum w1\n{}", witness_line(1), log_line())),
        case("accept-nested", "accept", format!("{three}group a any w1 w2\ngroup b all a w3\nquorum b\n")),
        case("accept-many", "accept", many(Policy::MAX_LINES)),
        case("too-many", "refuse line 257: more than 256 lines of one kind", many(Policy::MAX_LINES + 1)),
    ];
    cases.extend(malformed(&good));
    cases.extend(bad_keys());
    cases.extend(bad_groups(&three));
    cases
}

fn two_keys() -> String {
    let both = |number| {
        let [v1, ml_dsa] = witness(number).map(|key| key.key().encode());
        format!("witness w{number}a {v1}\nwitness w{number}b {ml_dsa}\ngroup w{number} any w{number}a w{number}b\n")
    };
    let [one, two] = log().map(|key| key.key().encode());
    format!("log {one}\nlog {two}\n{}{}group g all w1 w2\nquorum g\n", both(1), both(2))
}

fn many(count: usize) -> String {
    let line = |number: usize| {
        let key = signer(&format!("w{number}"), KeyKind::CosignatureV1, u8::try_from(number % 250).unwrap());
        let seed = *tlog::Hash::digest(&number.to_be_bytes()).as_bytes();
        let key = tlog::SigningKey::from_seed(key.key().name().clone(), KeyKind::CosignatureV1, &seed).unwrap();
        format!("witness w{number} {}\n", key.key().encode())
    };
    format!("{}quorum none\n", (0..count).map(line).collect::<String>())
}

fn malformed(good: &str) -> Vec<Case> {
    vec![
        case("empty", "refuse line 0: the last line does not end in a line feed", ""),
        case("no-line-feed-at-the-end", "refuse line 0: the last line does not end in a line feed", good.trim_end()),
        case("no-quorum", "refuse line 0: there is no quorum line; write `quorum none` if no witness is wanted", log_line()),
        case("two-quorums", "refuse line 7: a second quorum line", format!("{good}quorum none\n")),
        case("unknown-quorum", "refuse line 1: the quorum is not defined on an earlier line", "quorum x\n"),
        case("quorum-of-two", "refuse line 6: expected `quorum NAME` or `quorum none`", good.replace("quorum g", "quorum g w1")),
        case("unknown-keyword", "refuse line 7: the line begins with none of log, witness, group, quorum", format!("{good}Log x\n")),
        case("no-break-space", "refuse line 7: the line begins with none of log, witness, group, quorum", format!("{good}\u{a0}# x\n")),
        case("form-feed", "refuse line 1: a control character other than the tab", format!("# \u{c}\n{good}")),
        case("delete-character", "refuse line 1: a control character other than the tab", format!("# \u{7f}\n{good}")),
        case("carriage-returns", "refuse line 1: a control character other than the tab", good.replace('\n', "\r\n")),
        case("name-not-utf-8", "refuse line 1: names and URLs must be UTF-8", b"group \xff any a\nquorum none\n"),
    ]
}

fn bad_keys() -> Vec<Case> {
    let [v1, ml_dsa] = witness(1).map(|key| key.key().encode());
    let own = log()[0].key().encode();
    let same_key = signer("other.example", KeyKind::CosignatureV1, 11).key().encode();
    let same_log = signer("other.example", KeyKind::Ed25519, 1).key().encode();
    let end = "quorum none\n";
    vec![
        case("log-without-key", "refuse line 1: expected `log VKEY [URL]`; a comment needs its own line", format!("log\n{end}")),
        case(
            "log-with-comment",
            "refuse line 1: expected `log VKEY [URL]`; a comment needs its own line",
            format!("log {own} https://a # b\n{end}"),
        ),
        case("log-key-of-type-04", "refuse line 1: a log's key must be of type 01 or 06", format!("log {v1}\n{end}")),
        case("log-key-twice", "refuse line 2: another log line has the same public key", format!("log {own}\nlog {same_log}\n{end}")),
        case("key-id-wrong", "refuse line 1: not a verifier key of a known type with the right key ID", format!("log x{own}\n{end}")),
        case(
            "witness-without-key",
            "refuse line 1: expected `witness NAME VKEY [URL]`; a comment needs its own line",
            format!("witness a\n{end}"),
        ),
        case(
            "witness-without-name",
            "refuse line 1: expected `witness NAME VKEY [URL]`; a comment needs its own line",
            format!("witness\n{end}"),
        ),
        case("witness-key-of-type-01", "refuse line 1: a witness's key must be of type 04 or 06", format!("witness a {own}\n{end}")),
        case(
            "witness-key-twice",
            "refuse line 2: another witness line has the same public key",
            format!("witness a {v1}\nwitness b {same_key}\n{end}"),
        ),
        case(
            "witness-key-of-a-log",
            "refuse line 2: another key has the same name and the same ID",
            format!("log {ml_dsa}\nwitness a {ml_dsa}\n{end}"),
        ),
        case("witness-name-none", "refuse line 1: the name none is reserved", format!("witness none {v1}\n{end}")),
    ]
}

fn bad_groups(three: &str) -> Vec<Case> {
    let threshold = "refuse line 4: the threshold must be all, any, or a number from 1 to the number of members";
    let usage = "refuse line 4: expected `group NAME all|any|K MEMBER...`";
    let twice = "refuse line 5: a name can be a member only once in the whole file";
    let with = |lines: &str| format!("{three}{lines}\nquorum none\n");
    vec![
        case("group-without-threshold", usage, with("group g")),
        case("group-of-nobody", threshold, with("group g any")),
        case("group-of-all-of-nobody", threshold, with("group g all")),
        case("threshold-zero", threshold, with("group g 0 w1")),
        case("threshold-too-large", threshold, with("group g 2 w1")),
        case("threshold-negative", threshold, with("group g -1 w1")),
        case("threshold-with-leading-zero", threshold, with("group g 01 w1")),
        case("threshold-over-64-bits", threshold, with("group g 18446744073709551617 w1")),
        case("member-unknown", "refuse line 4: a member is not defined on an earlier line", with("group g any w4")),
        case("member-of-itself", "refuse line 4: a member is not defined on an earlier line", with("group g any g")),
        case("member-none", "refuse line 4: a member is not defined on an earlier line", with("group g any none")),
        case("member-twice", "refuse line 4: a name can be a member only once in the whole file", with("group g any w1 w2 w1")),
        case("member-of-two-groups", twice, with("group g any w1 w2\ngroup h any w1 w3")),
        case(
            "group-named-as-a-witness",
            "refuse line 4: the name is defined twice; witnesses and groups share their names",
            with("group w1 any w2"),
        ),
        case("group-named-none", "refuse line 4: the name none is reserved", with("group none any w2")),
    ]
}
