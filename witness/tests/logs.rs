//! The list of logs: what is read, and every refusal with its line.

mod support;

use support::{TestLog, key};
use tally_witness::Logs;
use tally_witness::logs::LogsError;
use tlog::{KeyKind, Signer as _};

fn vkey(name: &str, kind: KeyKind, seed: u8) -> String {
    key(name, kind, seed).key().encode()
}

fn refused(list: &str) -> (usize, &'static str) {
    let LogsError { line, reason } = Logs::parse(list.as_bytes()).unwrap_err();
    (line, reason)
}

#[test]
fn a_list_of_the_witness_network_is_read() {
    let (first, second) = (vkey("example.org/a", KeyKind::Ed25519, 1), vkey("sum.example.org", KeyKind::Ed25519, 2));
    let list = format!(
        "#\n# Generated for the public network\n#\nlogs/v0\n\n# a log\nvkey {first}\nqpd 86400\ncontact ops (at) example.org | https://example.org\n\n\
         vkey {second}\norigin go.sum database tree\nqpd 1\ncontact x\n"
    );
    let logs = Logs::parse(list.as_bytes()).unwrap();
    assert_eq!(logs.0.keys().map(String::as_str).collect::<Vec<_>>(), ["example.org/a", "go.sum database tree"]);
    let log = &logs.0["example.org/a"];
    assert_eq!((log.queries_per_day, log.contact.as_str(), log.urls.len()), (86_400, "ops (at) example.org | https://example.org", 0));
    assert_eq!(log.id(), tally_witness::logs::id("example.org/a"));
}

#[test]
fn blocks_of_one_origin_are_one_log_with_several_keys() {
    let log = TestLog::new("example.org/log");
    let list = format!("logs/v0\n{}", log.block(&["https://a.example".to_owned(), "http://b.example/log".to_owned()]));
    let logs = Logs::parse(list.as_bytes()).unwrap();
    assert_eq!(logs.0.len(), 1);
    assert_eq!(logs.0["example.org/log"].keys, log.keys());
    assert_eq!(logs.0["example.org/log"].urls, ["https://a.example", "http://b.example/log"]);
    assert_eq!(logs.encode(), list, "one spelling");
    assert_eq!(Logs::parse(logs.encode().as_bytes()).unwrap(), logs);
}

#[test]
fn an_empty_list_watches_nothing() {
    assert_eq!(Logs::parse(b"logs/v0\n").unwrap(), Logs::default());
}

#[test]
fn every_refusal_names_its_line() {
    let good = vkey("example.org/a", KeyKind::Ed25519, 1);
    let wrong_id = good.replacen("org/a+", "org/b+", 1);
    let unknown = format!("example.org/a+{}+{}", "00000000", "+w==");
    let head = format!("logs/v0\nvkey {good}\n");
    let block = format!("{head}qpd 5\ncontact x\n");
    let cases = [
        (String::new(), 0, "the last line does not end"),
        ("\n".to_owned(), 1, "the first line must be logs/v0"),
        ("logs/v1\n".to_owned(), 1, "the first line must be logs/v0"),
        ("logs/v0".to_owned(), 0, "the last line does not end"),
        ("logs/v0\nqpd 5\n".to_owned(), 2, "expected vkey"),
        ("logs/v0\nvkey nonsense\n".to_owned(), 2, "not a verifier key"),
        (format!("logs/v0\nvkey {wrong_id}\n"), 2, "the key ID is not that of name and key"),
        (format!("logs/v0\nvkey {}\n", vkey("w", KeyKind::CosignatureV1, 1)), 2, "a type 04 key is a witness's, not a log's"),
        (format!("logs/v0\nvkey {unknown}\n"), 2, "keys of this type are not verified here: use type 01 or 06"),
        (head.clone(), 2, "expected qpd after this line"),
        (format!("{head}contact x\n"), 2, "expected qpd after this line"),
        (format!("{head}qpd 0\ncontact x\n"), 3, "qpd is a number from 1 to 2147483647"),
        (format!("{head}qpd 05\ncontact x\n"), 3, "qpd is a number from 1 to 2147483647"),
        (format!("{head}qpd +5\ncontact x\n"), 3, "qpd is a number from 1 to 2147483647"),
        (format!("{head}qpd 2147483648\ncontact x\n"), 3, "qpd is a number from 1 to 2147483647"),
        (format!("{head}qpd 5\n"), 3, "expected contact after this line"),
        (format!("{head}qpd 5\ncontact \n"), 4, "the contact is empty"),
        (format!("{head}origin \nqpd 5\ncontact x\n"), 3, "an origin has 1 to 255 bytes and no control characters"),
        (format!("{head}origin {}\nqpd 5\ncontact x\n", "x".repeat(256)), 3, "an origin has 1 to 255 bytes and no control characters"),
        (format!("{head}qpd 5\norigin x\ncontact x\n"), 3, "expected contact after this line"),
        (format!("{block}url ftp://x\n"), 5, "a url begins with http:// or https:// and has no final slash"),
        (format!("{block}url http://x/\n"), 5, "a url begins with http:// or https:// and has no final slash"),
        (format!("{block}url http://\n"), 5, "a url begins with http:// or https:// and has no final slash"),
        (format!("{block}{}", "url http://x\n".repeat(9)), 13, "too many url lines for this log"),
        (format!("{block}bastion none\n"), 5, "expected vkey"),
        (format!("{block}vkey {good}\nqpd 5\ncontact x\n"), 5, "this public key stands in an earlier block"),
        (format!("{block}\n\nvkey x\n"), 7, "not a verifier key"),
    ];
    for (list, line, reason) in cases {
        assert_eq!(refused(&list), (line, reason), "{list}");
    }
    assert_eq!(Logs::parse(b"logs/v0\n# \xff\n").unwrap_err().reason, "not UTF-8");
    assert_eq!(Logs::parse(&vec![b'\n'; (16 << 20) + 1]).unwrap_err().reason, "larger than 16 MiB");
}

#[test]
fn a_key_under_another_name_is_still_the_same_key() {
    let (one, other) = (vkey("example.org/a", KeyKind::Ed25519, 1), vkey("example.org/b", KeyKind::Ed25519, 1));
    let list = format!("logs/v0\nvkey {one}\nqpd 5\ncontact x\nvkey {other}\nqpd 5\ncontact x\n");
    assert_eq!(refused(&list), (5, "this public key stands in an earlier block"));
}
