//! `tally explain` of a path that no package owns. Needs root and dpkg.

mod world;

use attest::predicate::{Change, Observed};
use world::packages::{Root, base};
use world::{Outcome, World};

fn explain(world: &World, root: &Root, path: &str) -> Outcome {
    world.tally(&["explain", path, "--root", root.path().to_str().unwrap()])
}

#[test]
fn what_no_package_owns_has_a_story_too() {
    let (mut world, root) = (base().world(), base().root());
    let (purl, manifest) = base().manifest("basic");
    let mut made = Observed::new("./usr/bin/made".to_owned(), Change::Generated);
    made.sha256 = Some(tlog::Hash::digest(b"made by a script"));
    for builder in ["builder-1", "builder-2"] {
        world.observe(builder, &purl, &manifest, vec![made.clone()]);
    }
    world.fill_cache(world.head());
    root.sh("echo evil > usr/bin/left-here; chmod 4755 usr/bin/left-here; printf 'made by a script' > usr/bin/made; chmod 755 usr/bin/made
         ln -s suid usr/bin/to-suid; ln -s left-here usr/bin/to-left-here; mkdir -p var/lib/data opt; echo x > var/lib/data/file
         echo x > opt/program; chmod 755 opt/program; mkdir usr/bin/directory; mkfifo usr/bin/pipe; ln -s nowhere usr/bin/broken");
    let rows = [
        ("/usr/bin/left-here", 2, "unowned", "it runs or is loaded, and no package owns it"),
        ("/usr/bin/made", 0, "explained", "made by scripts"),
        ("/usr/bin/to-suid", 0, "explained", "attested where it stands"),
        ("/usr/bin/to-left-here", 2, "unowned", "which no package owns"),
        ("/usr/bin/broken", 0, "explained", "neither runs"),
        ("/usr/bin/directory", 0, "explained", "neither runs"),
        ("/usr/bin/pipe", 0, "explained", "neither runs"),
        ("/var/lib/data/file", 0, "explained", "neither runs"),
        ("/opt/program", 0, "explained", "neither runs"),
    ];
    for (path, status, kind, why) in rows {
        let outcome = explain(&world, &root, path);
        let told = format!("{kind:<17} {path}");
        assert!(outcome.status == status && outcome.stdout.contains(&told) && outcome.stdout.contains(why), "{path}: {outcome:?}");
        assert!(outcome.stdout.contains("belongs to    no package") && outcome.stdout.contains("proven under"), "{path}: {outcome:?}");
    }
    let story = explain(&world, &root, "/usr/bin/left-here").stdout;
    assert!(story.contains(", mode 4755 root:root"), "{story}");
    assert!(story.contains("it is in      /usr/bin, which ") && story.contains("a file of 5 bytes, sha256 "), "{story}");
    assert!(explain(&world, &root, "/usr/bin/to-suid").stdout.contains("leads to      /usr/bin/suid"));
    // A link is as good as what it leads to, and that is read for it.
    root.sh("echo >> usr/bin/suid");
    assert_eq!(explain(&world, &root, "/usr/bin/to-suid").status, 2);
    let gone = explain(&world, &root, "/usr/bin/never-there");
    assert!(gone.status == 10 && gone.stderr.contains("nothing is at /usr/bin/never-there"), "{gone:?}");
    // What only the machine's own list says somebody owns is judged as that package's.
    root.sh("echo /usr/bin/left-here >> var/lib/dpkg/info/basic.list");
    let claimed = explain(&world, &root, "/usr/bin/left-here");
    assert!(claimed.stdout.contains("belongs to    basic 1.0-1 amd64"), "{claimed:?}");
}
