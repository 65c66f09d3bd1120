//! Keys in a real PKCS#11 module, SoftHSM, made there by stock tools.
//!
//! The module reads its settings from the environment, which a test cannot change for itself: each test runs again as a child that has it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use cryptoki::context::Pkcs11;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass};
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;
use custody::{InToken, Place, TokenError, TokenSigner, Uri, load, token};
use tlog::{KeyKind, KeyName, Signer as _, VerifierKey};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const LABEL: &str = "tally one";
const PIN: &str = "123456";

/// A directory with one initialised token, two key pairs in it, and the PIN's file.
struct Token(PathBuf);

/// In the child the token; in the parent, after the child has succeeded, nothing.
fn in_a_child(test: &str) -> Option<Token> {
    if let Some(dir) = std::env::var_os("TALLY_TOKEN") {
        return Some(Token(dir.into()));
    }
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("softhsm2.conf");
    fs::create_dir(dir.path().join("tokens")).unwrap();
    fs::write(&conf, format!("directories.tokendir = {}\n", dir.path().join("tokens").display())).unwrap();
    let tool = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).env("SOFTHSM2_CONF", &conf).output().unwrap();
        assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    tool("softhsm2-util", &["--init-token", "--free", "--label", LABEL, "--pin", PIN, "--so-pin", "98765432"]);
    for (id, label) in [("01", "one"), ("02", "two")] {
        let opened = ["--module", MODULE, "--token-label", LABEL, "--login", "--pin", PIN];
        tool("pkcs11-tool", &[&opened[..], &["--keypairgen", "--key-type", "EC:edwards25519", "--label", label, "--id", id]].concat());
    }
    write_pin(dir.path(), PIN, 0o600);
    let child = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .envs([("TALLY_TOKEN", dir.path()), ("SOFTHSM2_CONF", &conf)])
        .status()
        .unwrap();
    assert!(child.success(), "{test} failed in its child");
    None
}

fn write_pin(dir: &Path, pin: &str, mode: u32) {
    let file = dir.join("pin");
    fs::write(&file, format!("{pin}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
}

impl Token {
    fn uri(&self, object: &str) -> Uri {
        let pin = self.0.join("pin").display().to_string();
        Uri { token: LABEL.into(), object: object.into(), module: MODULE.into(), pin }
    }

    fn key(&self, object: &str) -> VerifierKey {
        VerifierKey::new(name(), KeyKind::Ed25519, &token::find(&self.uri(object)).unwrap()).unwrap()
    }

    fn refused(&self, uri: Uri) -> TokenError {
        TokenSigner::open(uri, self.key("one")).err().expect("refused")
    }
}

fn name() -> KeyName {
    KeyName::parse("example.org/log").unwrap()
}

#[test]
fn a_tokens_key_signs_and_its_file_holds_no_secret() {
    let Some(token) = in_a_child("a_tokens_key_signs_and_its_file_holds_no_secret") else { return };
    let place = Place::parse(&token.uri("one").encode()).unwrap();
    let file = token.0.join("key");
    for kind in [KeyKind::Ed25519, KeyKind::CosignatureV1] {
        let key = place.bring(&file, &name(), kind).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), InToken { uri: token.uri("one"), key: key.clone() }.encode());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let signer = load(&file).unwrap();
        for message in [&b""[..], b"message", &[7; 100_000]] {
            let signature = signer.sign(message).unwrap();
            assert!(key.verify(message, &signature) && !key.verify(b"another", &signature));
        }
        assert!(place.bring(&file, &name(), kind).unwrap_err().to_string().contains("exists"), "never overwritten");
        fs::remove_file(&file).unwrap();
    }
    assert_ne!(token.key("one"), token.key("two"));
    // Many threads, one session.
    let signer = TokenSigner::open(token.uri("two"), token.key("two")).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let signer = &signer;
            scope.spawn(move || (0..20u8).for_each(|n| assert!(signer.key().verify(&[thread, n], &signer.sign(&[thread, n]).unwrap()))));
        }
    });
}

#[test]
fn what_a_token_cannot_give_is_refused_with_what_to_do() {
    let Some(token) = in_a_child("what_a_token_cannot_give_is_refused_with_what_to_do") else { return };
    let uri = token.uri("one");
    let no_token = token.refused(Uri { token: "another".into(), ..uri.clone() });
    assert!(matches!(&no_token, TokenError::NoToken(label) if label == "another") && no_token.to_string().contains("plug it in"));
    let no_module = token.refused(Uri { module: "/nonexistent/module.so".into(), ..uri.clone() });
    assert!(matches!(&no_module, TokenError::Module(..)) && no_module.to_string().contains("install it"), "{no_module}");
    let no_key = token.refused(Uri { object: "three".into(), ..uri.clone() });
    assert!(matches!(&no_key, TokenError::NoKey { half: "public", .. }) && no_key.to_string().contains("make the pair"), "{no_key}");
    assert!(matches!(token.refused(token.uri("two")), TokenError::OtherKey(_)));
    let ml_dsa = VerifierKey::new(name(), KeyKind::MlDsa44, &[7; 1312]).unwrap();
    assert!(matches!(TokenSigner::open(uri.clone(), ml_dsa), Err(TokenError::Unsupported)));
    write_pin(&token.0, PIN, 0o640);
    assert!(matches!(token.refused_by_pin(), TokenError::Pin(_)));
    fs::remove_file(token.0.join("pin")).unwrap();
    assert!(matches!(token.refused_by_pin(), TokenError::Pin(_)));
    write_pin(&token.0, PIN, 0o600);
    // The files that name such keys.
    let file = token.0.join("key");
    let good = InToken { uri: uri.clone(), key: token.key("one") }.encode();
    for bad in [good.replace("file:", ""), good.replace("token=", "serial="), good.trim_end().to_owned(), format!("{good}\n")] {
        fs::write(&file, bad).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(load(&file).err().unwrap().to_string().contains("does not hold a private key"));
    }
    fs::write(&file, good).unwrap();
    load(&file).unwrap();
    // A program that judges opens no token, and says so.
    assert!(client::keys::load(&file).err().unwrap().to_string().contains("PKCS#11 token, which this program does not open"));
}

impl Token {
    /// Opens with the key as it was known before: the PIN's file is in no state to find it by.
    fn refused_by_pin(&self) -> TokenError {
        token::find(&self.uri("one")).expect_err("refused")
    }
}

#[test]
fn a_wrong_pin_is_said_and_not_tried_again() {
    let Some(token) = in_a_child("a_wrong_pin_is_said_and_not_tried_again") else { return };
    write_pin(&token.0, "999999", 0o600);
    let refused = token.refused_by_pin();
    assert!(matches!(refused, TokenError::WrongPin { .. }), "{refused}");
    let said = refused.to_string();
    assert!(said.contains("refuses the PIN in") && !said.contains("999999") && !said.contains(PIN), "{said}");
    let advice = Place::Token(token.uri("one")).bring(&token.0.join("key"), &name(), KeyKind::Ed25519).unwrap_err();
    assert!(advice.to_string().contains("refuses the PIN") && !token.0.join("key").exists());
}

#[test]
fn keys_that_are_no_pair_or_several_are_refused() {
    let Some(token) = in_a_child("keys_that_are_no_pair_or_several_are_refused") else { return };
    let one = token.key("one");
    // The module is loaded and the user logged in; this session is a second one.
    let module = Pkcs11::new(MODULE).unwrap();
    let slot = module.get_slots_with_token().unwrap().into_iter().find(|slot| module.get_token_info(*slot).unwrap().label() == LABEL);
    let session = module.open_rw_session(slot.unwrap()).unwrap();
    let _ = session.login(UserType::User, Some(&AuthPin::from(PIN)));
    let find = |class, label: &str| session.find_objects(&[Attribute::Class(class), Attribute::Label(label.into())]).unwrap();
    let of_two = find(ObjectClass::PUBLIC_KEY, "two")[0];
    let attributes = session.get_attributes(of_two, &[AttributeType::EcParams, AttributeType::EcPoint]).unwrap();
    let another = [
        Attribute::Class(ObjectClass::PUBLIC_KEY),
        Attribute::KeyType(KeyType::EC_EDWARDS),
        Attribute::Label(b"one".into()),
        Attribute::Token(true),
    ];
    session.create_object(&[&another[..], &attributes].concat()).unwrap();
    assert!(matches!(token::find(&token.uri("one")), Err(TokenError::SeveralKeys(_))));
    // Without its own public half, the label names two's beside one's private half.
    for public in find(ObjectClass::PUBLIC_KEY, "one") {
        let point = session.get_attributes(public, &[AttributeType::EcPoint]).unwrap();
        if matches!(&point[..], [Attribute::EcPoint(point)] if point.ends_with(one.public())) {
            session.destroy_object(public).unwrap();
        }
    }
    let mixed = VerifierKey::new(name(), KeyKind::Ed25519, &token::find(&token.uri("one")).unwrap()).unwrap();
    let refused = TokenSigner::open(token.uri("one"), mixed).err().unwrap();
    assert!(matches!(refused, TokenError::WrongSignature(_)), "{refused}");
    // A key that goes away while it is in use signs nothing more.
    let signer = TokenSigner::open(token.uri("two"), token.key("two")).unwrap();
    signer.sign(b"message").unwrap();
    session.destroy_object(find(ObjectClass::PRIVATE_KEY, "two")[0]).unwrap();
    assert!(signer.sign(b"message").is_err());
    let refused = TokenSigner::open(token.uri("two"), token.key("two")).err().unwrap();
    assert!(matches!(refused, TokenError::NoKey { half: "private", .. }), "{refused}");
}
