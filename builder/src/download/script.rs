//! The script that runs in a container of apt.

use std::collections::BTreeSet;

use crate::config::Config;
use crate::distro::{self, Manager};
use crate::request::Request;

/// Plans say which files one package takes. All are downloaded together, which is quick, and what is then missing (packages that conflict
/// cannot be downloaded together) one by one.
fn planned(requests: &[Request], specs: &str) -> String {
    let each =
        |step: &str| -> String { requests.iter().enumerate().map(|(number, request)| format!("{step} {number} '{request}'\n")).collect() };
    format!("{}apt install --reinstall --allow-downgrades --download-only{specs} >/dev/null 2>&1 || :\n{}", each("plan"), each("complete"))
}

/// The script that runs in the container. Requests are made of harmless characters only ([`Request`]). Without plans, only the packages
/// themselves are downloaded.
pub(super) fn script(config: &Config, requests: &[Request]) -> String {
    if config.manager != Manager::Apt {
        return distro::download(config.manager, requests);
    }
    let (plans, faketime) = (config.observe, config.container.faketime.is_some() && config.observe);
    let foreign: BTreeSet<&str> =
        requests.iter().filter_map(|request| request.architecture.as_deref()).filter(|arch| *arch != "all").collect();
    let mut script = PROLOGUE.to_owned();
    for architecture in foreign {
        script.push_str(&format!("[ {architecture} = \"$(cat $D/native)\" ] || dpkg --add-architecture {architecture}\n"));
    }
    script.push_str("apt update >$D/update.log 2>&1 || { grep '^E:' $D/update.log >&2 || tail -n 3 $D/update.log >&2; exit 20; }\n");
    let specs: String = requests.iter().map(|request| format!(" '{request}'")).collect();
    if requests.is_empty() {
        return script;
    }
    script.push_str(&if plans { planned(requests, &specs) } else { format!("alone{specs}\n") });
    if faketime {
        script.push_str("mkdir $D/faketime; cd $D/faketime; apt download libfaketime >/dev/null || exit 21\n");
    }
    script
}

/// apt sees our sources and our keyring only, keeps indexes as they are signed, and believes nothing unsigned, whatever the image's
/// own configuration says: options of the command line win.
pub(crate) const PROLOGUE: &str = r#"set -u
D=/var/lib/tallystick
M=/run/tallystick/setup
mkdir -p $D/lists $D/archives $D/plans $D/errors
dpkg --print-architecture >$D/native
[ ! -d $M/lists ] || cp -p $M/lists/* $D/lists/
apt() {
  apt-get -q -y \
    -o Dir::Etc::SourceList=$M/sources.list -o Dir::Etc::SourceParts=/dev/null \
    -o Dir::Etc::Trusted=$M/keyring.gpg -o Dir::Etc::TrustedParts=/dev/null \
    -o Dir::State::Lists=$D/lists -o Dir::Cache::Archives=$D/archives \
    -o Acquire::GzipIndexes=false -o Acquire::Languages=none -o Acquire::Retries=3 \
    -o Acquire::AllowInsecureRepositories=false -o Acquire::AllowWeakRepositories=false \
    -o Acquire::AllowDowngradeToInsecureRepositories=false -o APT::Get::AllowUnauthenticated=false \
    -o Acquire::Check-Valid-Until=true "$@"
}
plan() {
  apt install -qq --reinstall --allow-downgrades --print-uris "$2" >$D/plans/$1 2>$D/errors/$1 || : >$D/plans/$1
}
complete() {
  while read -r uri name rest; do
    [ -e "$D/archives/$name" ] && continue
    apt install --reinstall --allow-downgrades --download-only "$2" >/dev/null 2>>$D/errors/$1
    return
  done <$D/plans/$1
}
alone() {
  cd $D/archives
  apt download "$@" >/dev/null 2>&1 && return
  for spec; do apt download "$spec" >/dev/null 2>>$D/errors/alone || :; done
}
"#;
