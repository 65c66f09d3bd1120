#!/usr/bin/env bash
# Tessera's own load generator, unchanged, on an open log of ours: entries of 1 KB, one a request, with the readers that it brings along, which
# follow the checkpoints, check their consistency and fetch leaves. The rate is the growth of the published checkpoint.
# HAMMER_SECONDS=20 for each of HAMMER_WRITERS="512 2000". It is built in a Debian root that holds Tessera's sources and Go.
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/open-log.sh
seconds=${HAMMER_SECONDS:-20}
root=$(.ci/root sid golang-go,golang-github-transparency-dev-tessera-dev)
dir=$(mktemp -d)
server=
trap '[ -z "$server" ] || { kill $server 2>/dev/null; wait $server 2>/dev/null; } || true; rm -rf "$dir"' EXIT
mkdir "$dir/work"
# In a mount namespace of its own, so that the root stays as it was made.
unshare --mount sh -euc 'mount --bind "$2" "$1/mnt"; mount -t proc proc "$1/proc"; mount --rbind /dev "$1/dev"
    exec chroot "$1" env -i PATH=/usr/bin:/bin HOME=/mnt GOPATH=/usr/share/gocode GO111MODULE=off GOFLAGS=-p=2 \
        go build -o /mnt/hammer github.com/transparency-dev/tessera/internal/hammer' sh "$root" "$dir/work"
start_log "$dir"
# Ed25519 is all that it verifies: type 01.
key=$(grep -o 'foreign.example/log+[0-9a-f]\{8\}+A[A-Za-z0-9+/=]\{43\}$' "$dir/keys" | head -n 1)
ticks() { sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }'; }

wrong=0
for writers in ${HAMMER_WRITERS:-512 2000}; do
    "$dir/work/hammer" --log_url="$url/" --write_log_url="$url" --log_public_key="$key" --show_ui=false --logtostderr --num_writers="$writers" \
        --leaf_min_size=1024 --max_write_ops=100000 --max_runtime=$((seconds + 6))s >"$dir/hammer" 2>&1 &
    hammer=$!
    sleep 4
    before="$(size) $(ticks $server) $(ticks $hammer) $(date +%s.%N)"
    sleep "$seconds"
    after="$(size) $(ticks $server) $(ticks $hammer) $(date +%s.%N)"
    wait $hammer || true # it ends with 1 when its time is over
    echo "$writers $before $after" | awk -v ticks="$(getconf CLK_TCK)" '{
        entries = $6 - $2; time = $9 - $5
        printf "%d writers: %.0f entries/s; CPU us each: log %.1f, generator %.1f\n",
            $1, entries / time, ($7 - $3) / ticks / entries * 1e6, ($8 - $4) / ticks / entries * 1e6
    }'
    # Whatever it meets (an answer other than 200, an inconsistent checkpoint, a leaf that is not there) it says.
    if said=$(grep -v -e 'Will fail after' -e 'Max runtime reached' "$dir/hammer"); then
        echo "WRONG  the generator says: $(head -n 3 <<<"$said")"
        wrong=1
    fi
done
kill $server
wait $server || true
"$bin/tally-log" fsck "$dir/log" || wrong=1
exit $wrong
