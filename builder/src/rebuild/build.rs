//! The build itself: a fresh container without network, with the verified files of the environment and of the source.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::RebuildError;
use super::fetch::Fetched;
use super::target::Target;
use crate::config::Config;
use crate::distro::Manager;
use crate::download::{self, OUTPUT};
use crate::home::readable_dir;
use crate::podman::{Bind, Job, MOUNTS, Podman};

/// What a build gave.
pub(super) struct Built {
    /// The package files, or why there are none.
    pub(super) products: Result<Vec<PathBuf>, String>,
    /// `NAME=VERSION` of what was installed when it began.
    pub(super) installed: BTreeSet<String>,
    /// The .buildinfo that dpkg wrote of this build.
    pub(super) record: Option<PathBuf>,
}

/// Builds. An environment that cannot be set up is an error; a build that fails is a result.
pub(super) async fn build(
    podman: &Podman,
    image: &str,
    config: &Config,
    target: &Target,
    fetched: &Fetched,
    scratch: &Path,
) -> Result<Built, RebuildError> {
    let input = scratch.join("in");
    stage(fetched, target, &input)?;
    let job = Job {
        hostname: config.container.hostname.clone(),
        binds: vec![Bind { source: input, target: format!("{MOUNTS}/in") }],
        ids: config.ids(),
        timeout: config.timeout(),
        ..Job::new(image, &script(target, fetched))
    };
    let finished = podman.run(&job).await?;
    let target = scratch.join("built");
    std::fs::create_dir_all(&target).map_err(io(&target))?;
    let copied = match finished.exit {
        0 | FAILED => download::copy(podman, &finished, config, &target).await,
        _ => Ok(()),
    };
    podman.remove(&finished.id).await?;
    copied?;
    let output = target.join(OUTPUT);
    let products = match finished.exit {
        0 => Ok(download::by_name(&output.join("products"), Manager::Apt)?.into_values().collect()),
        FAILED => Err(download::last_lines(&finished.log)),
        _ => return Err(RebuildError::Environment(download::last_lines(&finished.log))),
    };
    let list = output.join("installed");
    let installed = std::fs::read_to_string(&list).map_err(io(&list))?.lines().map(str::to_owned).collect();
    let records = std::fs::read_dir(output.join("records")).into_iter().flatten().flatten();
    let record = records.map(|entry| entry.path()).find(|path| path.extension().is_some_and(|extension| extension == "buildinfo"));
    Ok(Built { products, installed, record })
}

/// The container sees the files of this build and no others.
fn stage(fetched: &Fetched, target: &Target, dir: &Path) -> Result<(), RebuildError> {
    let (debs, source) = (dir.join("debs"), dir.join("source"));
    for part in [dir, &debs, &source] {
        readable_dir(part).map_err(io(part))?;
    }
    let link = |from: &Path, to: PathBuf| std::fs::hard_link(from, &to).map_err(io(&to));
    for file in &fetched.environment {
        link(file, debs.join(file.file_name().unwrap_or_default()))?;
    }
    for file in &fetched.source.files {
        link(&fetched.source_dir.join(&file.name), source.join(&file.name))?;
    }
    let changes = target.record().and_then(|record| record.binary_only_changes.as_deref());
    changes.map_or(Ok(()), |entry| std::fs::write(dir.join("changes"), entry).map_err(io(dir)))
}

fn script(target: &Target, fetched: &Fetched) -> String {
    let path = target.build_path(&fetched.source.name, &fetched.source.version);
    let dsc = fetched.source.dsc().map_or("", |file| file.name.as_str());
    let mut variables: Vec<(String, String)> = target.record().map(|record| record.environment.clone()).unwrap_or_default();
    let mut or = |name: &str, value: &str| {
        if !variables.iter().any(|(known, _)| known == name) {
            variables.push((name.to_owned(), value.to_owned()));
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    or("LC_ALL", "C.UTF-8");
    or("DEB_BUILD_OPTIONS", &format!("parallel={cores}"));
    let variables: Vec<String> = variables.iter().map(|(name, value)| format!("{name}={}", quote(value))).collect();
    format!(
        "P={}\nDSC={}\nMODE={}\nset -- {}\n{BUILD}",
        quote(&path.display().to_string()),
        quote(dsc),
        mode(target, fetched),
        variables.join(" ")
    )
}

/// As the machines of the distribution do it: what depends on the architecture and what does not are built apart.
fn mode(target: &Target, fetched: &Fetched) -> &'static str {
    let published = fetched.published.iter().map(|one| one.control.architecture.as_str());
    let named = || target.record().map(|record| record.architectures.iter().map(String::as_str));
    let all: Vec<&str> = named().map_or_else(|| published.collect(), Iterator::collect);
    match (all.contains(&"all"), all.iter().any(|arch| !matches!(*arch, "all" | "source"))) {
        // A package by its name: that package's part of the source.
        (true, true) if target.record().is_none() => only(target, fetched),
        (true, true) => "-b",
        (true, false) => "-A",
        _ => "-B",
    }
}

fn only(target: &Target, fetched: &Fetched) -> &'static str {
    let Target::Package(request) = target else { return "-b" };
    let control = fetched.published.iter().map(|one| &one.control).find(|control| control.name == request.name);
    if control.is_some_and(|control| control.architecture == "all") { "-A" } else { "-B" }
}

/// A word for the shell, whatever it holds.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> RebuildError {
    let path = path.to_owned();
    move |source| RebuildError::Io { path, source }
}

/// The status with which the script says that the package did not build.
const FAILED: i64 = 32;
/// As a user of its own, since tests of packages behave otherwise as root. What dpkg does for safety on a real disk is lost time here.
const BUILD: &str = r#"set -eu
D=/var/lib/tallystick
I=/run/tallystick/in
mkdir -p $D/products $D/records
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
apt-get -q -y --no-install-recommends --allow-downgrades --allow-change-held-packages \
  -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts=/dev/null -o Dpkg::Use-Pty=0 \
  -o Dpkg::Options::=--force-unsafe-io -o Dpkg::Options::=--force-confnew \
  install $I/debs/*.deb >$D/install.log 2>&1 || { tail -n 5 $D/install.log; exit 30; }
dpkg-query -W -f '${db:Status-Abbrev} ${Package}=${Version}\n' | sed -n 's/^ii  *//p' | sort -u >$D/installed
useradd --no-create-home --home-dir /nonexistent builder
U=${P%/*}
mkdir -p "$U"
cp $I/source/* "$U/"
chown -R builder "$U"
as() { setpriv --reuid builder --regid builder --clear-groups env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/nonexistent LOGNAME=builder USER=builder "$@"; }
cd "$U"
as dpkg-source --no-check -x "$DSC" "$P" >$D/unpack.log 2>&1 || { tail -n 5 $D/unpack.log; exit 31; }
cd "$P"
if [ -e $I/changes ]; then
  cat $I/changes debian/changelog >/tmp/changelog
  as sh -c 'cat /tmp/changelog >debian/changelog'
fi
as "$@" dpkg-buildpackage --no-sign --no-check-builddeps $MODE >$D/build.log 2>&1 || { tail -n 20 $D/build.log; exit 32; }
for file in "$U"/*.deb; do
  if [ -e "$file" ]; then cp "$file" $D/products/; fi
done
for file in "$U"/*.buildinfo; do
  if [ -e "$file" ]; then cp "$file" $D/records/; fi
done
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_words() {
        assert_eq!(quote("a b"), "'a b'");
        assert_eq!(quote("it's $(id)"), r"'it'\''s $(id)'");
    }
}
