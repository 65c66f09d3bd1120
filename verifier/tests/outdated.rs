//! Machines that are behind: judged by the claims about what they have, and told so. Needs root and dpkg.

mod world;

use attest::Purl;
use tlog::Hash;
use world::packages::base;

#[test]
fn old_versions_are_judged_by_their_own_claims_and_named() {
    let (mut world, root) = (base().world(), base().root());
    let (purl, manifest) = base().manifest("basic");
    let mut claim = |version: &str, arch: &str, builders: &[&str]| {
        let other = Purl::deb("debian", "basic", version, arch).unwrap();
        let manifest = manifest.with_package(Hash::digest(version.as_bytes()));
        for builder in builders {
            world.claim(builder, &other, &manifest);
        }
    };
    let both = ["builder-1", "builder-2"];
    // Older ones, those of another architecture, and those that too few attest do not count.
    claim("0.9-1", "amd64", &both);
    claim("2.0-1", "arm64", &both);
    claim("3.0-1", "amd64", &both[..1]);
    claim("1.0-1+deb12u1", "amd64", &both);
    world.fill_cache(world.head());
    let outcome = world.verify(root.path());
    assert_eq!((outcome.status, outcome.findings(false)), (0, Vec::new()), "{outcome:?}");
    let outdated = |outcome: &world::Outcome| {
        let json = outcome.json();
        let findings = json["findings"].as_array().unwrap().clone();
        findings.into_iter().filter(|finding| finding["finding"] == "outdated").collect::<Vec<_>>()
    };
    let found = outdated(&outcome);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((&found[0]["package"], &found[0]["attested"]), (&"basic 1.0-1 amd64".into(), &"1.0-1+deb12u1".into()));
    assert_eq!((&found[0]["found"], outcome.json()["counts"]["outdated"].as_u64()), (&purl.version().into(), Some(1)));
    let text = world.tally(&["verify", "--all", "--root", root.path().to_str().unwrap()]);
    assert!(text.status == 0 && text.stdout.contains("outdated      newer versions are attested of basic\n"), "{text:?}");
    // What the newer version has is no excuse: the installed one's claim holds.
    root.sh("echo >> usr/bin/suid");
    let outcome = world.verify(root.path());
    assert_eq!((outcome.status, outcome.findings(false)), (1, vec!["modified /usr/bin/suid".to_owned()]), "{outcome:?}");
}
