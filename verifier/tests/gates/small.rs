//! A root with nothing but pacman, a shell and `tally`, taken from this machine: hooks run inside of the root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::world::packages::sh;

/// Makes one; repositories and packages come from [`package`] and [`publish`].
pub fn root(root: &Path) {
    let programs = ["sh", "pacman", "pacman-conf", "bsdtar", "vercmp", "true", "cp", "rm"].map(find);
    for program in programs.iter().map(PathBuf::as_path).chain([Path::new(env!("CARGO_BIN_EXE_tally"))]) {
        let place = root.join("usr/bin").join(program.file_name().unwrap());
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(program, place).unwrap();
        for library in libraries(program) {
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
    fs::canonicalize(place.unwrap_or_else(|| panic!("{program} is not there"))).map(|real| rename(real, program)).unwrap()
}

/// `sh` is a link to a shell of another name, which would do under that name only.
fn rename(real: PathBuf, program: &str) -> PathBuf {
    if real.file_name() == Some(program.as_ref()) {
        return real;
    }
    let copy = std::env::temp_dir().join(format!("tally-gates-{}", std::process::id()));
    fs::create_dir_all(&copy).unwrap();
    fs::copy(&real, copy.join(program)).unwrap();
    copy.join(program)
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

/// Puts packages into a repository.
pub fn publish(root: &Path, files: &[&PathBuf]) {
    let files: Vec<String> = files.iter().map(|file| format!(".{}", file.display())).collect();
    let script = "mkdir -p srv/stable; cp FILES srv/stable; repo-add -q srv/stable/stable.db.tar.gz srv/stable/*.zst; printf '[options]\\nArchitecture = auto\\nSigLevel = Never\\n[stable]\\nServer = file:///srv/stable\\n' >etc/pacman.conf";
    sh(root, &script.replace("FILES", &files.join(" ")));
}
