#!/usr/bin/env bash
# The main job on loopback, with real packages: a log, three witnesses, two builders, a user, and what each kind of wrong looks like.
# Needs root (or sudo) for containers, and the network for packages alone. Everything it makes is below one directory.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=${TALLY_DEMO_BIN:-$(cargo metadata --no-deps --offline --format-version=1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release}
bin=$(realpath -m "$bin")
[ -x "$bin/tally" ] || { echo "error: $bin has no programs; run make build" >&2; exit 1; }
dir=$(realpath -m "${TALLY_DEMO_DIR:-/var/tmp/tallystick-demo}")
# sudo keeps neither the environment nor the PATH in which cargo was found.
[ "$(id -u)" -eq 0 ] || exec sudo env TALLY_DEMO_BIN="$bin" TALLY_DEMO_DIR="$dir" e2e/demo.sh
export PATH="$PATH:/usr/sbin:/sbin"
case $dir in *[[:space:]]*) echo "error: TALLY_DEMO_DIR is $dir: debootstrap makes no root in a directory with spaces" >&2; exit 1 ;; esac
origin=demo.example/log
started=$SECONDS
mkdir -p "$dir"

# What the builders imported into Podman's storage goes with them; an image that is nobody's name would stay for ever.
discard_images() {
    for config in "$dir"/run/builder-?.toml; do
        [ ! -e "$config" ] || "$bin/tally-builder" clean --config "$config" >/dev/null 2>&1 || echo "warning: the image of $config stays in Podman's storage" >&2
    done
}
# Those of a demonstration that was killed.
discard_images
rm -rf "$dir/run"
mkdir -p "$dir/run" "$dir/cache"
cd "$dir/run"

# Even if this script is killed, what it started ends.
bound=(setpriv --pdeathsig TERM --)
declare -A pid address
results=()
wrong=0

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
die() { echo "error: $*" >&2; exit 1; }

# start NAME PROGRAM ARGUMENTS: starts a server, waits for its first line and remembers process and address.
start() {
    local name=$1; shift
    : >"$name.out"
    "${bound[@]}" "$@" >"$name.out" 2>>"$name.err" &
    pid[$name]=$!
    for _ in $(seq 300); do
        address[$name]=$(sed -n 's/^listening on //p' "$name.out")
        [ -n "${address[$name]}" ] && return 0
        kill -0 "${pid[$name]}" 2>/dev/null || break
        sleep 0.1
    done
    tail -n 5 "$name.err" >&2
    die "$name did not start"
}

# healthy NAME: waits until a log takes entries: it listens before it has heard its witnesses and published its roles.
healthy() {
    for _ in $(seq 300); do
        curl -s -f -o /dev/null "http://${address[$1]}/healthz" && return 0
        sleep 0.1
    done
    curl -s "http://${address[$1]}/healthz" >&2 || true
    die "$1 is not well"
}

# stop NAME: asks a server to end and waits for it.
stop() {
    [ -n "${pid[$1]:-}" ] || return 0
    kill "${pid[$1]}" 2>/dev/null || true
    wait "${pid[$1]}" 2>/dev/null || true
    unset "pid[$1]"
}

cleanup() {
    local status=$?
    for name in "${!pid[@]}"; do stop "$name"; done
    discard_images
    [ "$status" -eq 0 ] || echo "the demonstration ended early; its data is in $dir/run" >&2
}
trap cleanup EXIT

# expect STATUS TITLE COMMAND: runs a command, shows what it says, and compares its exit status.
expect() {
    local want=$1 title=$2 got=0; shift 2
    say "$title"
    echo "\$ ${*/#$bin\//}"
    "$@" || got=$?
    echo "exit status $got (expected $want)"
    if [ "$got" -eq "$want" ]; then results+=("ok    $got  $title"); else results+=("WRONG $got  $title (expected $want)"); wrong=1; fi
}

# shows TITLE COMMAND: runs a command that must succeed.
shows() {
    say "$1"; shift
    echo "\$ ${*/#$bin\//}"
    "$@"
}

# init NAME PROGRAM ARGUMENTS: makes a server's directory and keeps its verifier keys in NAME.keys.
init() { local name=$1; shift; "$@" >"$name.keys"; }

tally() { "$bin/tally" --config "$PWD/tally.toml" "$@"; }

say "A root to verify beside this machine: a fresh bootstrap of the same release"
. /etc/os-release
mirror=$(apt-get indextargets --format '$(SITE) $(RELEASE) $(COMPONENT)' "Created-By: Packages" | awk -v suite="$VERSION_CODENAME" '$2 ~ suite && $3 == "main" {print $1; exit}')
[ -n "$mirror" ] || mirror=$(apt-get indextargets --format '$(SITE)' "Created-By: Packages" | head -n 1)
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e "$keyring" ] || die "the package debian-archive-keyring is missing"
debootstrap --variant=minbase "$VERSION_CODENAME" root "$mirror" >debootstrap.out 2>&1 &
bootstrap=$!

say "Keys: a log, three witnesses, two builders, a foundation of three members, a security team"
# The log and its witnesses first live ten days ago: what a user learnt then is really old.
faketime=$(find /usr/lib -name libfaketime.so.1 -print -quit)
past=(env "LD_PRELOAD=$faketime" FAKETIME=-10d FAKETIME_DONT_FAKE_MONOTONIC=1)
init log "${past[@]}" "$bin/tally-log" init --dir log --origin "$origin"
{ echo logs/v0; while read -r key; do printf '\nvkey %s\nqpd 86400\ncontact log@demo.example\n' "$key"; done <log.keys; } >logs
for n in 1 2 3; do init "witness-$n" "$bin/tally-witness" init --dir "witness-$n" --name "witness-$n.example"; done
for n in 1 2; do init "builder-$n" "$bin/tally-builder" init --dir "builder-$n" --name "builder-$n.example"; done
init security "$bin/tally-builder" init --dir security --name security.example
for member in alice bob carol; do minisign -G -W -p "$member.pub" -s "$member.sec" >/dev/null; done
cat log.keys witness-?.keys builder-?.keys | cut -c1-100

for n in 1 2 3; do
    start "witness-$n" "${past[@]}" "$bin/tally-witness" serve --dir "witness-$n" --listen 127.0.0.1:0 --logs logs
done
{
    while read -r key; do echo "log $key"; done <log.keys
    for n in 1 2 3; do
        k=0; members=
        while read -r key; do
            echo "witness w$n-$k $key http://${address[witness-$n]}"
            members="$members w$n-$k"; k=$((k + 1))
        done <"witness-$n.keys"
        echo "group w$n any$members"
    done
    echo "group two-of-three 2 w1 w2 w3"
    echo "quorum two-of-three"
} >witnesses.policy
{
    echo "tallystick roles v1"
    echo "origin $origin"
    echo "version 1"
    echo "previous none"
    echo "policy $(sha256sum <witnesses.policy | cut -c1-64)"
    echo "foundation 2 of 3"
    for member in alice bob carol; do echo "member $member $(tail -n 1 "$member.pub")"; done
    echo "vendor deb/debian Debian"
    for n in 1 2; do echo "builder $(cat "builder-$n.keys")"; echo "  scope pkg:deb/debian/*"; done
    echo "threshold 1 of 1"
    echo "security $(cat security.keys)"
    echo "control $(cat security.keys)"
} >roles-1.draft
"$bin/tally-log" roles propose roles-1.draft >roles-1.txt
for member in alice bob; do minisign -S -s "$member.sec" -m roles-1.txt -x "roles-1.txt.$member.minisig" >/dev/null; done
say "The roles, signed by two of three members of the foundation"
cat roles-1.txt

serve=("$bin/tally-log" serve --dir log --policy witnesses.policy --roles roles-1.txt)
start log "${past[@]}" "${serve[@]}" --listen 127.0.0.1:0
healthy log
log_url=http://${address[log]}

cat >policy.toml <<'TOML'
builders = 2
max_age = "24h"
TOML
# config FILE CACHE URL: a user's configuration.
config() {
    cat >"$1" <<TOML
log = "$3"
witness_policy = "witnesses.policy"
policy = "policy.toml"
cache = "$2"
roles_sha256 = "$(sha256sum <roles-1.txt | cut -c1-64)"
TOML
}
config tally.toml cache "$log_url"
config old.toml cache-old "$log_url"

wait "$bootstrap" || { tail -n 5 debootstrap.out >&2; die "debootstrap failed"; }
installed() { dpkg-query --admindir="$2/var/lib/dpkg" -W -f '${Version}' "$1" 2>/dev/null || true; }
packages=()
for package in coreutils dash sed grep gzip findutils diffutils hostname debianutils bsdutils; do
    here=$(installed "$package" /)
    candidate=$(apt-cache policy "$package" | sed -n 's/^  Candidate: //p')
    [ -n "$here" ] && [ "$here" = "$candidate" ] && [ "$here" = "$(installed "$package" root)" ] && packages+=("$package")
done
[ ${#packages[@]} -ge 6 ] && [ "${packages[0]}" = coreutils ] || die "too few packages are at the repository's version here: ${packages[*]}"
disputed=${packages[-1]}
unset 'packages[-1]'
packages=("${packages[@]:0:6}")

for n in 1 2; do
    cat >"builder-$n.toml" <<TOML
dir = "builder-$n"
log = "$log_url"
origin = "$origin"
log_keys = [$(sed 's/.*/"&"/' log.keys | paste -sd,)]
keyring = "$keyring"
suite = "$VERSION_CODENAME"

[container]
hostname = "builder-$n"
$([ "$n" -eq 2 ] && echo 'faketime = "+400d"')

[bootstrap]
cache = "$dir/cache"
TOML
done
say "Two builders attest ${packages[*]}: own downloads, own containers, own clocks"
"${bound[@]}" "$bin/tally-builder" attest --config builder-1.toml "${packages[@]}" "$disputed" >builder-1.out 2>builder-1.err || { tail -n 20 builder-1.err >&2; die "builder 1 failed"; }
"${bound[@]}" "$bin/tally-builder" attest --config builder-2.toml "${packages[@]}" >builder-2.out 2>builder-2.err || { tail -n 20 builder-2.err >&2; die "builder 2 failed"; }
cat builder-1.out builder-2.out

say "A user synchronises, ten days ago"
"${past[@]}" "$bin/tally" --config old.toml sync
say "Ten days pass; log and witnesses go on"
for name in log witness-1 witness-2 witness-3; do

    stop "$name"
done
for n in 1 2 3; do
    start "witness-$n" "$bin/tally-witness" serve --dir "witness-$n" --listen "${address[witness-$n]}" --logs logs
done
start log "${serve[@]}" --listen "${address[log]}"
healthy log

expect 0 "The user synchronises, and has a fresh head" tally sync
offline=(unshare -n "$bin/tally" --config "$PWD/tally.toml")
expect 0 "Without a network: the packages of this machine" "${offline[@]}" verify --offline "${packages[@]}"
expect 0 "Without a network: the same packages in the fresh root" "${offline[@]}" verify --offline --root root "${packages[@]}"

file=root/bin/ls
[ -e "$file" ] || file=root/usr/bin/ls
cp -p "$file" ls.good
printf '\x41' | dd of="$file" bs=1 seek=5000 conv=notrunc status=none
cmp -s "$file" ls.good && printf '\x42' | dd of="$file" bs=1 seek=5000 conv=notrunc status=none
expect 1 "One flipped byte in /bin/ls" "${offline[@]}" verify --offline --root root coreutils
cp -p ls.good "$file"

expect 2 "A package that only one builder attested: $disputed" "${offline[@]}" verify --offline "$disputed"
deb=$(find builder-1 "$dir/cache" -name "${disputed}_*.deb" -print -quit 2>/dev/null)
if [ -z "$deb" ]; then (cd "$dir/cache" && apt-get -qq -o APT::Sandbox::User=root download "$disputed"); deb=$(find "$dir/cache" -name "${disputed}_*.deb" -print -quit); fi
lie=$(dpkg-deb --fsys-tarfile "$deb" | tar -tvf - | awk '/^-/ && $6 ~ /bin\// && !found {print $6; found = 1}')
cp -a log log-fork
shows "The other builder lies about it" "$bin/tally-liar" "builder-2/keys/$(ls builder-2/keys)" "$log_url" "$origin" "$deb" "$lie"
tally sync
expect 1 "Two builders, two claims: neither is believed" "${offline[@]}" verify --offline "$disputed"

shows "The security team warns" tally advise warn --key "security/keys/$(ls security/keys)" --id DEMO-2026-0001 \
    --package pkg:deb/debian/coreutils --severity high --reference https://demo.example/1 \
    --summary "a demonstration" --advice "do not worry"
tally sync
expect 4 "A package with a warning" "${offline[@]}" verify --offline coreutils
shows "The security team withdraws the warning" tally advise withdraw --key "security/keys/$(ls security/keys)" --id DEMO-2026-0001 \
    --reference https://demo.example/1 --summary "the demonstration is over" --advice "nothing is to be done"
tally sync
expect 0 "The same package again" "${offline[@]}" verify --offline coreutils

expect 3 "A head that is ten days old" unshare -n "$bin/tally" --config "$PWD/old.toml" verify --offline coreutils

say "Two witnesses go away"
before=$(curl -s "$log_url/checkpoint" | sed -n 2p)
stop witness-2
stop witness-3
if tally advise head --wait 5 --key "security/keys/$(ls security/keys)"; then results+=("WRONG -  published without a quorum"); wrong=1; fi
after=$(curl -s "$log_url/checkpoint" | sed -n 2p)
tile=$(curl -s -o /dev/null -w '%{http_code}' "$log_url/tile/entries/000.p/$after")
echo "published size before: $before, after: $after; reading its entries: status $tile"
if [ "$before" = "$after" ] && [ "$tile" = 200 ]; then results+=("ok    -  Without a quorum nothing is published, and reads go on"); else results+=("WRONG -  the quorum"); wrong=1; fi
for n in 2 3; do start "witness-$n" "$bin/tally-witness" serve --dir "witness-$n" --listen "${address[witness-$n]}" --logs logs; done
tally sync

say "A forked log: the same keys, an older copy of the directory, another history, and no witnesses"
{ while read -r key; do echo "log $key"; done <log.keys; echo "quorum none"; } >fork.policy
start fork "$bin/tally-log" serve --dir log-fork --policy fork.policy --roles roles-1.txt --listen 127.0.0.1:0
healthy fork
for n in 1 2 3 4 5 6; do
    lied=$(dpkg-deb --fsys-tarfile "$deb" | tar -tvf - | awk -v n="$n" '/^-/ && ++files == n {print $6}')
    [ -n "$lied" ] || break
    "$bin/tally-liar" "builder-2/keys/$(ls builder-2/keys)" "http://${address[fork]}" "$origin" "$deb" "$lied" || true
done
config fork.toml cache "http://${address[fork]}"
expect 1 "The user is shown the fork, and keeps the evidence" "$bin/tally" --config fork.toml sync
evidence=$(find cache -name '*.evidence' -print -quit)
[ -n "$evidence" ] || evidence=$(find cache/evidence -type f -print -quit)
mkdir empty
cp "$evidence" empty/fork.evidence
key=$(head -n 1 log.keys)
expect 0 "The evidence convicts the log, in an empty directory, with its key alone" \
    env -C empty unshare -n "$bin/tally" audit evidence fork.evidence --key "$key"

say "Summary"
printf '%s\n' "${results[@]}"
echo "data: $dir/run   time: $((SECONDS - started)) s"
[ "$wrong" -eq 0 ] || die "something was not as expected"
