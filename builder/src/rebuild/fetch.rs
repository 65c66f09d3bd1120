//! Fetching what a rebuild takes: the published package files, the source, the environment. A container with the network does it;
//! everything is verified outside of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use package::control::Control;
use tlog::Hash;

use super::RebuildError;
use super::target::Target;
use crate::chain::{Chain, ChainError, Keyring, Lists, SourceRecord, source_of};
use crate::claim::{self, Claim};
use crate::config::Config;
use crate::distro::Manager;
use crate::download::{self, DownloadError, OUTPUT, PROLOGUE};
use crate::podman::{Job, Network, Podman};
use crate::run::{Site, digest};
use crate::sources::{self, Source};

/// What was fetched and verified.
pub(super) struct Fetched {
    /// The published package files with their origin, in order of names.
    pub(super) published: Vec<Published>,
    /// The source package.
    pub(super) source: SourceRecord,
    /// Where its files are.
    pub(super) source_dir: PathBuf,
    /// The package files of the environment.
    pub(super) environment: Vec<PathBuf>,
}

/// A package file of the repository.
pub(super) struct Published {
    pub(super) path: PathBuf,
    pub(super) control: Control,
    pub(super) claim: Claim,
}

/// Downloads in a container, then verifies.
pub(super) async fn fetch(podman: &Podman, site: &Site, config: &Config, target: &Target, scratch: &Path) -> Result<Fetched, RebuildError> {
    let list = sources::encode(&site.sources);
    let input = download::setup(scratch, &site.keyring, "sources.list", &format!("{list}{}", with_sources(&list)))?;
    let job = Job {
        hostname: config.container.hostname.clone(),
        env: download::proxies(),
        binds: download::binds(&input, &site.sources),
        network: Network::Host,
        timeout: config.timeout(),
        ..Job::new(&site.image, &script(target))
    };
    let finished = podman.run(&job).await?;
    let copied = download::copy(podman, &finished, config, scratch).await;
    podman.remove(&finished.id).await?;
    copied?;
    match finished.exit {
        0 => {}
        20 => return Err(DownloadError::Update(download::last_lines(&finished.log)).into()),
        _ => return Err(RebuildError::NotToBeHad(download::last_lines(&finished.log))),
    }
    let (dir, keyring, vendors) = (scratch.join(OUTPUT), site.keyring.clone(), config.vendors.clone());
    let (repositories, target) = (site.sources.clone(), target.clone());
    let work = move || verify(&dir, &repositories, &keyring, &vendors, &target, client::now());
    tokio::task::spawn_blocking(work).await.map_err(|_| RebuildError::Worker)?
}

/// The same repositories' sources.
fn with_sources(list: &str) -> String {
    list.lines().filter_map(|line| line.strip_prefix("deb ")).flat_map(|rest| ["deb-src ", rest, "\n"]).collect()
}

/// Names and versions in it are made of harmless characters only ([`crate::request::Request`], [`super::buildinfo::Buildinfo`]).
fn script(target: &Target) -> String {
    let update = "apt update >$D/update.log 2>&1 || { grep '^E:' $D/update.log >&2 || tail -n 3 $D/update.log >&2; exit 20; }\n";
    let target = match target {
        Target::Package(request) => format!("SPEC='{request}'\nNAME='{}'\n{BY_NAME}", request.name),
        Target::Record(record) => {
            let names = record.binaries.join(" ");
            let (source, own, version) = (&record.source, &record.source_version, &record.version);
            let installed: String = record.installed.iter().flat_map(|package| [package.as_str(), "\n"]).collect();
            format!(
                "SOURCE='{source}'\nOWN='{own}'\nVERSION='{version}'\nNAMES='{names}'\ncat >$D/wanted <<'END'\n{installed}END\n{BY_RECORD}"
            )
        }
    };
    format!("{PROLOGUE}mkdir -p $D/published $D/source\n{update}{target}{FETCH}")
}

fn verify(
    dir: &Path,
    repositories: &[Source],
    keyring: &Keyring,
    vendors: &BTreeMap<String, String>,
    target: &Target,
    now: u64,
) -> Result<Fetched, RebuildError> {
    let (published, environment) =
        (download::by_name(&dir.join("published"), Manager::Apt)?, download::by_name(&dir.join("archives"), Manager::Apt)?);
    let mut digests: BTreeMap<PathBuf, Hash> = BTreeMap::new();
    for file in published.values().chain(environment.values()) {
        digests.insert(file.clone(), digest(file)?);
    }
    let wanted: BTreeSet<Hash> = digests.values().copied().collect();
    let native = std::fs::read_to_string(dir.join("native")).unwrap_or_default().trim().to_owned();
    let lists = dir.join("lists");
    let lists = Lists { dir: &lists, sources: repositories, architectures: &BTreeSet::from([native]) };
    let chain = Chain::verify(&lists, &wanted, keyring, now)?;
    if let Some((file, sha256)) = digests.iter().find(|(_, sha256)| !chain.names(sha256)) {
        let package = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Err(ChainError::Unauthenticated { package, sha256: *sha256 }.into());
    }
    let mut found = Vec::new();
    for path in published.into_values() {
        let deb = claim::read(&path)?;
        let listed = chain.origin(&deb)?;
        let (control, origin) = (deb.control.clone(), listed.origin.clone());
        found.push(Published { claim: Claim::new(deb.into(), &origin, vendors)?, control, path });
    }
    let (name, version) = built_from(&found, target)?;
    found.retain(|one| one.control.source == name && one.control.source_version == version);
    let source = source_of(&lists, keyring, now, &name, &version)?;
    let source = source.ok_or_else(|| RebuildError::NotToBeHad(format!("no signed index names the source package {name} {version}")))?;
    let source_dir = dir.join("source");
    for file in &source.files {
        let path = source_dir.join(&file.name);
        let size = std::fs::metadata(&path).map(|metadata| metadata.len()).ok();
        if size != Some(file.size) || digest(&path)? != file.sha256 {
            return Err(RebuildError::AlteredSource(file.name.clone()));
        }
    }
    Ok(Fetched { published: found, source, source_dir, environment: environment.into_values().collect() })
}

/// Name and version of the source package: as recorded, or as the one package that was asked for says.
fn built_from(published: &[Published], target: &Target) -> Result<(String, String), RebuildError> {
    match target {
        Target::Record(record) => Ok((record.source.clone(), record.source_version.clone())),
        Target::Package(request) => {
            let control = published.iter().map(|one| &one.control).find(|control| control.name == request.name);
            let Control { name, version, source, source_version, .. } =
                control.ok_or_else(|| RebuildError::NotToBeHad(format!("apt did not download {request}")))?;
            if is_binary_only(version) && version != source_version {
                return Err(RebuildError::NeedsRecord(format!("{name} {version}")));
            }
            Ok((source.clone(), source_version.clone()))
        }
    }
}

/// `+bN` at the end: built anew from the same source, with a changelog entry that stands in no source package.
fn is_binary_only(version: &str) -> bool {
    version.rsplit_once("+b").is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The package that was asked for says which source it is from. Nothing that a package file says reaches the shell unquoted.
const BY_NAME: &str = r#"cd $D/published
apt download "$SPEC" >/dev/null 2>$D/errors/published || { grep '^E:' $D/errors/published >&2; exit 21; }
set -- *.deb
FROM=$(dpkg-deb -f "$1" Source)
VERSION=$(dpkg-deb -f "$1" Version)
SOURCE=${FROM%% *}
[ -n "$SOURCE" ] || SOURCE=$NAME
case $FROM in
  *' '*) OWN=${FROM#*' ('}; OWN=${OWN%')'} ;;
  *) OWN=$VERSION ;;
esac
[ "$(dpkg-deb -f "$1" Architecture)" = all ] && ONLY=--indep-only || ONLY=--arch-only
NAMES=
"#;
/// Of each recorded package the version that is recorded where it is to be had, else the one that is.
const BY_RECORD: &str = r#"ONLY=
apt_cache() {
  apt-cache -o Dir::Etc::SourceList=$M/sources.list -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists=$D/lists "$@"
}
apt_cache madison $(sed 's/=.*//' $D/wanted) | awk -F ' *[|] *' '{ gsub(/ /, "", $1); print $1 "=" $2 }' | sort -u >$D/had
sort -u $D/wanted | comm -12 - $D/had >$D/exact
sort -u $D/wanted | comm -23 - $D/had | sed 's/=.*//' >$D/gone
apt_cache pkgnames | sort -u >$D/names
sort -u $D/gone | comm -12 - $D/names >$D/instead
"#;
const FETCH: &str = r#"cd $D/source
apt source --download-only --only-source "$SOURCE=$OWN" >/dev/null 2>$D/errors/source || { grep '^E:' $D/errors/source >&2; exit 22; }
[ -n "$NAMES" ] || NAMES=$(sed -n '/^Binary:/,/^[^ B]/p' *.dsc | grep -E '^(Binary:| )' | sed 's/^Binary://' | tr -d ',')
cd $D/published
for name in $NAMES; do
  apt download "$name=$VERSION" >/dev/null 2>>$D/errors/published || :
done
if [ -e $D/wanted ]; then
  apt install --no-install-recommends --allow-downgrades --download-only fakeroot build-essential $(cat $D/exact $D/instead) >/dev/null 2>$D/errors/environment ||
    { : >$D/exact; rm -f $D/archives/*.deb; }
fi
if ! [ -s $D/exact ]; then
  apt build-dep --no-install-recommends --download-only $ONLY "$SOURCE=$OWN" >/dev/null 2>$D/errors/environment &&
  apt install --no-install-recommends --download-only fakeroot build-essential >/dev/null 2>>$D/errors/environment ||
    { grep '^E:' $D/errors/environment >&2; exit 23; }
fi
exit 0
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_only_versions_are_known() {
        assert!(is_binary_only("4.9-1+b2") && is_binary_only("1:2+b10"));
        assert!(!is_binary_only("4.9-1") && !is_binary_only("4.9-1+beta") && !is_binary_only("4.9+b"));
    }

    #[test]
    fn sources_are_those_of_the_same_repositories() {
        assert_eq!(with_sources("deb http://a b main\ndeb copy:/x y z\n"), "deb-src http://a b main\ndeb-src copy:/x y z\n");
    }
}
