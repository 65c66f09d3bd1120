//! Package URLs, patterns and versions.

mod common;

use std::cmp::Ordering;
use std::process::Command;

use attest::purl::{Purl, PurlError, Scope};
use attest::version::{compare_debian, is_within};
use common::purl;
use proptest::prelude::*;

#[test]
fn canonical_urls_are_read() {
    for text in [
        "pkg:deb/debian/attr@1:2.4.47-2%2Bb1?arch=amd64",
        "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14?arch=i386",
        "pkg:deb/ubuntu/x@1.0~rc1-1ubuntu2?arch=all",
        "pkg:rpm/fedora/x@1.2-3.fc40?arch=x86_64&epoch=1",
        "pkg:rpm/opensuse/x@1.2%5E20240101-3?arch=noarch",
        "pkg:alpm/arch/x@1:2-1?arch=any",
        "pkg:apk/alpine/x@1-r0?arch=x86_64",
        "pkg:apk/alpine/x@1-r0?arch=x86_64&branch=v3.20",
    ] {
        assert_eq!(purl(text).to_string(), text);
    }
}

#[test]
fn parts_are_unescaped() {
    let purl = purl("pkg:deb/debian/libstdc%2B%2B6@1:12.2%2Bb1-14?arch=amd64");
    assert_eq!((purl.kind(), purl.namespace(), purl.name()), ("deb", "debian", "libstdc++6"));
    assert_eq!((purl.version(), purl.arch(), purl.epoch(), purl.branch()), ("1:12.2+b1-14", "amd64", None, None));
}

#[test]
fn constructors_write_the_canonical_form() {
    assert_eq!(
        Purl::deb("debian", "g++", "0:4:12.2-3", "amd64").map(|purl| purl.to_string()),
        Ok("pkg:deb/debian/g%2B%2B@4:12.2-3?arch=amd64".into())
    );
    assert_eq!(Purl::rpm("fedora", "x", "1-2", "noarch", 0).map(|purl| purl.to_string()), Ok("pkg:rpm/fedora/x@1-2?arch=noarch".into()));
    assert_eq!(Purl::rpm("fedora", "x", "1-2", "noarch", 3).expect("good").epoch(), Some("3"));
    assert_eq!(Purl::alpm("arch", "x", "1-2", "any").map(|purl| purl.to_string()), Ok("pkg:alpm/arch/x@1-2?arch=any".into()));
    assert_eq!(Purl::apk("alpine", "x", "1-r2", "x86", Some("edge")).expect("good").branch(), Some("edge"));
    assert_eq!(Purl::deb("debian", "Attr", "1", "amd64"), Err(PurlError::Malformed));
    assert_eq!(Purl::deb("debian", "attr", "", "amd64"), Err(PurlError::Malformed));
    assert_eq!(Purl::deb("debian", "a/b", "1", "amd64"), Err(PurlError::Malformed));
    assert_eq!(Purl::deb("debian", "a b", "1", "amd64"), Err(PurlError::Malformed));
    assert_eq!(Purl::deb("debian", &"a".repeat(1_024), "1", "amd64"), Err(PurlError::TooLong));
}

#[test]
fn other_urls_are_refused() {
    for (text, error) in [
        ("", PurlError::Malformed),
        ("pkg:deb/debian/attr@1", PurlError::Malformed),
        ("pkg:deb/debian/attr?arch=amd64", PurlError::Malformed),
        ("pkg:deb/attr@1?arch=amd64", PurlError::Malformed),
        ("pkg:deb/debian/attr@1?epoch=1", PurlError::Malformed),
        ("pkg:deb/debian/attr@1%2?arch=amd64", PurlError::Malformed),
        ("pkg:deb/debian/attr@1%FF?arch=amd64", PurlError::Malformed),
        ("pkg:deb/Debian/attr@1?arch=amd64", PurlError::Malformed),
        ("pkg:npm/debian/attr@1?arch=amd64", PurlError::UnknownType),
        ("pkg:deb/debian/attr@2.4+b1?arch=amd64", PurlError::NotCanonical),
        ("pkg:deb/debian/attr@2.4%2bb1?arch=amd64", PurlError::NotCanonical),
        ("pkg:deb/debian/attr@1%3A2?arch=amd64", PurlError::NotCanonical),
        ("pkg:deb/debian/%61ttr@1?arch=amd64", PurlError::NotCanonical),
        ("pkg:deb/debian/attr@0:1?arch=amd64", PurlError::NotCanonical),
        ("pkg:deb/debian/attr@1?arch=amd64&distro=bookworm", PurlError::NotCanonical),
        ("pkg:rpm/fedora/x@1-1?arch=noarch&epoch=0", PurlError::NotCanonical),
        ("pkg:rpm/fedora/x@1-1?arch=noarch&epoch=01", PurlError::NotCanonical),
        ("pkg:rpm/fedora/x@1-1?arch=noarch&branch=1", PurlError::NotCanonical),
        ("pkg:alpm/arch/x@1-1?arch=any&epoch=1", PurlError::NotCanonical),
    ] {
        assert_eq!(Purl::parse(text), Err(error), "{text}");
    }
    assert_eq!(Purl::parse(&"p".repeat(1_025)), Err(PurlError::TooLong));
}

#[test]
fn patterns_cover_what_they_say() {
    let attr = purl("pkg:deb/debian/attr@1?arch=amd64");
    let cxx = purl("pkg:deb/debian/libstdc%2B%2B6@1?arch=amd64");
    for (scope, covers_attr, covers_cxx) in [
        ("pkg:*", true, true),
        ("pkg:deb/*", true, true),
        ("pkg:deb/debian/*", true, true),
        ("pkg:deb/debian/attr", true, false),
        ("pkg:deb/debian/at*", true, false),
        ("pkg:deb/debian/libstdc%2B%2B6", false, true),
        ("pkg:deb/debian/libstdc%2B*", false, true),
        ("pkg:deb/debian/att", false, false),
        ("pkg:deb/deb*/attr", false, false),
        ("pkg:deb/ubuntu/*", false, false),
        ("pkg:rpm/*", false, false),
    ] {
        let Ok(scope) = Scope::parse(scope) else {
            assert_eq!(scope, "pkg:deb/deb*/attr");
            continue;
        };
        assert_eq!((scope.covers(&attr), scope.covers(&cxx)), (covers_attr, covers_cxx), "{scope}");
    }
}

#[test]
fn a_vendor_is_covered_as_a_whole_or_not_at_all() {
    let covers = |scope: &str| Scope::parse(scope).expect("a scope").covers_namespace("deb", "debian");
    assert!(covers("pkg:*") && covers("pkg:deb/*") && covers("pkg:deb/debian/*"));
    assert!(!covers("pkg:deb/debian/a*") && !covers("pkg:deb/debian/attr") && !covers("pkg:deb/debia/*") && !covers("pkg:rpm/*"));
}

#[test]
fn other_patterns_are_refused() {
    for text in [
        "",
        "*",
        "pkg:",
        "pkg:deb",
        "pkg:deb/",
        "pkg:deb/debian",
        "pkg:deb/debian/",
        "pkg:deb/*/attr",
        "pkg:deb/debian/a*b",
        "pkg:deb/debian/a+b",
        "pkg:deb/debian/a@1",
    ] {
        assert_eq!(Scope::parse(text), Err(PurlError::Malformed), "{text}");
    }
    assert_eq!(Scope::parse("pkg:npm/*"), Err(PurlError::UnknownType));
    assert_eq!(Scope::parse(&format!("pkg:deb/debian/{}", "a".repeat(1_024))), Err(PurlError::TooLong));
}

fn dpkg_says(a: &str, relation: &str, b: &str) -> bool {
    Command::new("dpkg").args(["--compare-versions", a, relation, b]).status().expect("dpkg is installed").success()
}

#[test]
fn versions_compare_as_dpkg_says() {
    let versions = [
        "1.0",
        "1.0-1",
        "1.0-0",
        "1.0~rc1-1",
        "1.0~~",
        "1.0~",
        "1.0+b1",
        "1.0a",
        "1.0.1",
        "1:0.1",
        "0:1.0",
        "1.00",
        "1.0-1+b10",
        "1.0-1+b9",
        "2",
        "1.0-1-2",
        "10",
        "9",
        "1.0-",
        "1.a",
        "1.+",
        "1.-0",
        "1.0-1.1",
        "1.0-1~bpo12+1",
    ];
    let mut compared = 0;
    for a in versions {
        for b in versions {
            let expected = match compare_debian(a, b) {
                Ordering::Less => "lt",
                Ordering::Equal => "eq",
                Ordering::Greater => "gt",
            };
            if a != "1.0-" && b != "1.0-" {
                assert!(dpkg_says(a, expected, b), "{a} {expected} {b}");
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 529);
}

#[test]
fn ranges_hold_their_first_and_not_their_last_version() {
    let at = |version: &str| Purl::deb("debian", "x", version, "all").expect("good");
    assert!(is_within(&at("1.0"), Some("1.0"), Some("1.1")) && is_within(&at("1.1~rc1"), Some("1.0"), Some("1.1")));
    assert!(!is_within(&at("1.1"), Some("1.0"), Some("1.1")) && !is_within(&at("0.9"), Some("1.0"), None));
    assert!(is_within(&at("0.1"), None, None));
    let bounds = |text: &str, from, before| is_within(&purl(text), from, before);
    assert!(
        bounds("pkg:rpm/fedora/x@9-1?arch=noarch", Some("9"), Some("9-2"))
            && !bounds("pkg:rpm/fedora/x@9-1?arch=noarch", None, Some("1-1"))
    );
    assert!(
        bounds("pkg:rpm/fedora/x@9-1?arch=noarch&epoch=2", Some("2:9-1"), None)
            && !bounds("pkg:rpm/fedora/x@9-1?arch=noarch", Some("2:1"), None)
    );
    assert!(bounds("pkg:alpm/arch/x@1:9-1?arch=any", Some("1:9-1"), None) && !bounds("pkg:alpm/arch/x@9-1?arch=any", Some("1:1"), None));
    assert!(bounds("pkg:apk/alpine/x@1.2-r3?arch=x86_64", Some("1.2-r3"), Some("1.10")));
    assert!(!bounds("pkg:apk/alpine/x@1.2-r3?arch=x86_64", None, Some("1.2_rc1")));
    // What cannot be compared: a needless warning is better than none.
    assert!(bounds("pkg:apk/alpine/x@9-r1?arch=x86_64", None, Some("one")));
}

proptest! {
    #[test]
    fn comparing_is_a_total_order(a in "[0-9]{1,2}[a-z~+.0-9-]{0,6}", b in "[0-9]{1,2}[a-z~+.0-9-]{0,6}", c in "[0-9]{1,2}[a-z~+.0-9-]{0,6}") {
        prop_assert_eq!(compare_debian(&a, &b), compare_debian(&b, &a).reverse());
        if compare_debian(&a, &b) != Ordering::Greater && compare_debian(&b, &c) != Ordering::Greater {
            prop_assert_ne!(compare_debian(&a, &c), Ordering::Greater);
        }
    }

    #[test]
    fn every_debian_package_has_one_url(name in "[a-z0-9][a-z0-9+.-]{1,20}", version in "[1-9]:[0-9][A-Za-z0-9.+~-]{0,20}", arch in "[a-z0-9-]{3,10}") {
        let made = Purl::deb("debian", &name, &version, &arch).expect("good");
        prop_assert_eq!(made.version(), &version);
        prop_assert_eq!(Purl::parse(&made.to_string()), Ok(made));
    }
}
