//! A root with nothing but pacman, a shell and `tally`, taken from this machine: hooks run inside of the root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::world::packages::sh;

/// Makes one; repositories and packages come from [`package`] and [`publish`].
pub fn root(root: &Path) {
    let programs = ["sh", "pacman", "pacman-conf", "cp", "rm"].map(|name| (name, find(name)));
    for (name, program) in programs.into_iter().chain([("tally", PathBuf::from(env!("CARGO_BIN_EXE_tally")))]) {
        let place = root.join("usr/bin").join(name);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(&program, place).unwrap();
        for library in libraries(&program) {
            let place = root.join(library.strip_prefix("/").unwrap());
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::copy(&library, place).unwrap();
        }
    }
    let script = "mkdir -p etc proc dev tmp root var/lib/pacman var/cache/pacman/pkg var/log build srv usr/share/libalpm/hooks etc/tallystick var/lib/tallystick usr/lib; [ -e bin ] || ln -s usr/bin bin; printf 'root:x:0:0::/:/bin/sh\\n' >etc/passwd; printf 'root:x:0:\\n' >etc/group; mknod -m 666 dev/null c 1 3; cp -r /etc/ld.so.conf* etc; ldconfig -r .";
    sh(root, script);
}

fn find(program: &str) -> PathBuf {
    let path = std::env::var("PATH").unwrap_or_default();
    let place = path.split(':').map(|directory| Path::new(directory).join(program)).find(|place| place.exists());
    place.unwrap_or_else(|| panic!("{program} is not there"))
}

fn libraries(program: &Path) -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(program).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().filter(|word| word.starts_with('/')).map(|word| PathBuf::from(word.trim_end_matches(':'))).collect()
}

/// A package, made with bsdtar alone.
pub fn package(root: &Path, name: &str, version: u32) -> PathBuf {
    let script = r#"
mkdir -p build/NAME/usr/share/NAME; cd build/NAME; echo NAME VERSION >usr/share/NAME/data
printf 'pkgname = NAME\npkgbase = NAME\npkgver = VERSION-1\npkgdesc = x\nurl = x\nbuilddate = 1700000000\npackager = T <t@example.com>\nsize = 10\narch = any\nlicense = x\n' >.PKGINFO
bsdtar -cf .MTREE --format=mtree --options='!all,use-set,type,uid,gid,mode,time,size,sha256,link' .PKGINFO usr; gzip -n .MTREE; mv .MTREE.gz .MTREE
bsdtar --zstd -cf ../NAME-VERSION-1-any.pkg.tar.zst .MTREE .PKGINFO usr; rm -r ../NAME
"#;
    sh(root, &script.replace("NAME", name).replace("VERSION", &version.to_string()));
    PathBuf::from(format!("/build/{name}-{version}-1-any.pkg.tar.zst"))
}

/// Puts packages of version 1 into a repository, whose database is made with bsdtar, too.
pub fn publish(root: &Path, names: &[&str]) {
    let script = r#"
mkdir -p srv/stable build/db; for name in NAMES; do
file=$name-1-1-any.pkg.tar.zst; cp build/$file srv/stable; mkdir -p build/db/$name-1-1; digest=$(sha256sum build/$file | cut -d' ' -f1)
printf '%%FILENAME%%\n%s\n\n%%NAME%%\n%s\n\n%%VERSION%%\n1-1\n\n%%CSIZE%%\n%s\n\n%%SHA256SUM%%\n%s\n\n%%ARCH%%\nany\n\n' $file $name $(stat -c %s build/$file) $digest >build/db/$name-1-1/desc
done
(cd build/db; bsdtar -czf ../../srv/stable/stable.db *)
printf '[options]\nArchitecture = auto\nSigLevel = Never\n[stable]\nServer = file:///srv/stable\n' >etc/pacman.conf
"#;
    sh(root, &script.replace("NAMES", &names.join(" ")));
}
