#!/usr/bin/env bash
# How many packages one builder attests a minute on this machine, from scratch into a real log with one witness, and where the time goes:
#   bench/builder.sh [PACKAGES [JSON]]
# The packages are the first ones by name of those that are installed here; their mirror is that of apt on this machine. Image and downloads
# are made anew. BUILDER_BATCH=64 packages are attested by one command. Needs root, Podman and mmdebstrap.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:/usr/sbin:/sbin"
bin=${TALLY_BIN:-$(cargo metadata --no-deps --offline --format-version=1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release}
count=${1:-790} json=${2:-} batch=${BUILDER_BATCH:-64}
[ -z "$json" ] || json=$(realpath -m "$json")
for program in tally-log tally-witness tally-builder; do
    [ -x "$bin/$program" ] || { echo "error: $bin has no $program; run make build" >&2; exit 1; }
done
dir=$(mktemp -d -p "${TMPDIR:-/var/tmp}")
pids=()
cleanup() {
    [ ! -e "$dir/builder.toml" ] || "$bin/tally-builder" clean --config "$dir/builder.toml" >/dev/null 2>&1 || true
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; done
    rm -rf "$dir"
}
trap cleanup EXIT
cd "$dir"
# start NAME PROGRAM ARGUMENTS: starts a server and keeps its address in NAME.address.
start() {
    local name=$1; shift
    setpriv --pdeathsig TERM -- "$@" >"$name.out" 2>"$name.err" &
    pids+=($!)
    for _ in $(seq 300); do
        sed -n 's/^listening on //p' "$name.out" >"$name.address"
        [ ! -s "$name.address" ] || return 0
        sleep 0.1
    done
    cat "$name.err" >&2
    echo "error: $name did not start" >&2
    exit 1
}

origin=bench.example/log
"$bin/tally-log" init --dir log --origin "$origin" >log.keys
"$bin/tally-witness" init --dir witness --name witness.example >witness.keys
"$bin/tally-builder" init --dir builder --name builder.example >builder.keys
"$bin/tally-builder" init --dir security --name security.example >security.keys
minisign -G -W -p member.pub -s member.sec >/dev/null
{ echo logs/v0; while read -r key; do printf '\nvkey %s\nqpd 86400\ncontact log@bench.example\n' "$key"; done <log.keys; } >logs
start witness "$bin/tally-witness" serve --dir witness --listen 127.0.0.1:0 --logs logs
{
    while read -r key; do echo "log $key"; done <log.keys
    n=0
    while read -r key; do n=$((n + 1)); echo "witness w$n $key http://$(cat witness.address)"; done <witness.keys
    echo "group w any$(seq -f ' w%.0f' -s '' "$n")"
    echo "quorum w"
} >witnesses.policy
{
    printf 'tallystick roles v1\norigin %s\nversion 1\nprevious none\n' "$origin"
    echo "policy $(sha256sum <witnesses.policy | cut -c1-64)"
    printf 'foundation 1 of 1\nmember alice %s\nvendor deb/debian Debian\n' "$(tail -n 1 member.pub)"
    printf 'builder %s\n  scope pkg:deb/debian/*\nthreshold 1 of 1\n' "$(cat builder.keys)"
    printf 'security %s\ncontrol %s\n' "$(cat security.keys)" "$(cat security.keys)"
} >roles.draft
"$bin/tally-log" roles propose roles.draft >roles.txt
minisign -S -s member.sec -m roles.txt -x roles.txt.alice.minisig >/dev/null
start log "$bin/tally-log" serve --dir log --policy witnesses.policy --roles roles.txt --listen 127.0.0.1:0
url=http://$(cat log.address)
for _ in $(seq 300); do curl -s -f -o /dev/null "$url/healthz" && break; sleep 0.1; done

. /etc/os-release
cat >builder.toml <<TOML
dir = "builder"
suite = "$VERSION_CODENAME"
keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
log = "$url"
origin = "$origin"
log_keys = [$(sed 's/.*/"&"/' log.keys | paste -sd,)]
TOML
comm -12 <(dpkg-query -W -f '${Package}\n' | sort -u) <(apt-cache pkgnames | sort -u) >installed
head -n "$count" installed >packages
# The root is bootstrapped before the clock starts: it is made once and serves for months.
"$bin/tally-builder" attest --config builder.toml --json "$(head -n 1 packages)" >first.json 2>first.err || true
tail -n +2 packages >rest
started=$(date +%s.%N)
: >reports
split -l "$batch" rest part-
for part in part-*; do
    mapfile -t names <"$part"
    "$bin/tally-builder" attest --config builder.toml --json "${names[@]}" >>reports 2>>errors || true
    echo "$(wc -l <reports) lines after $(($(date +%s) - ${started%.*})) s" >&2
done
python3 - "$started" "$(date +%s.%N)" "$(curl -s -f "$url/checkpoint" | sed -n 2p)" "$(nproc)" "$batch" "$json" <<'PYTHON'
import collections, json, sys
started, ended, entries, cores, batch, path = sys.argv[1:]
attested = failed = lines = 0
phases, reasons = collections.Counter(), collections.Counter()
for line in map(json.loads, open("reports")):
    if "seconds" in line:
        phases.update(line["seconds"])
    elif line.get("error") is None:
        attested += 1
        lines += line["lines"]
    else:
        failed += 1
        reasons[line["error"][:100]] += 1
seconds = float(ended) - float(started)
result = {"packages": attested, "failed": failed, "manifest_lines": lines, "seconds": round(seconds, 1), "packages_per_minute": round(attested / seconds * 60, 1),
          "phase_seconds": {name: round(value, 1) for name, value in phases.items()}, "log_entries": int(entries), "cores": int(cores), "batch": int(batch)}
print(f"{attested} packages attested, {failed} failed, in {seconds:.0f} s on {cores} cores: {result['packages_per_minute']} a minute")
whole = sum(phases.values())
for name, value in phases.most_common():
    print(f"  {name:9} {value:8.1f} s  {100 * value / whole:4.1f} %")
for reason, number in reasons.most_common(5):
    print(f"  failed {number}: {reason}")
if path:
    json.dump(result, open(path, "w"), indent=1)
sys.exit(0 if attested else 1)
PYTHON
