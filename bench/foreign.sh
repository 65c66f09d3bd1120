#!/usr/bin/env bash
# Load on an open log by public generators that know nothing of it: wrk (raw bodies of 1 kB to POST /add, kept-alive connections) and
# ab (HTTP/1.0, one body again and again), with readers of the checkpoint and of tiles beside them. Every answer must be 200 with an index
# that no other answer has, and the published checkpoint must cover all of them.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:/usr/sbin:/sbin"
. bench/open-log.sh
seconds=${FOREIGN_SECONDS:-10}
connections=${FOREIGN_CONNECTIONS:-512 2000 4000}
dir=$(mktemp -d)
server=
trap '[ -z "$server" ] || { kill $server 2>/dev/null; wait $server 2>/dev/null; } || true; rm -rf "$dir"' EXIT
start_log "$dir"
[ "$(ulimit -n)" = unlimited ] || [ "$(ulimit -n)" -ge 8500 ] || { echo "error: 8500 open files are needed, and the limit is $(ulimit -n); raise it (ulimit -Hn)" >&2; exit 1; }

wrong=0
check() { # check TEXT COMMAND: the command must succeed
    local text=$1; shift
    if "$@"; then echo "ok     $text"; else echo "WRONG  $text"; wrong=1; fi
}
quiet() { ! grep -Eq 'Socket errors|Non-2xx' "$1"; }
covered() { [ "$(size)" -ge "$1" ]; }

# A first tile to read.
echo body >"$dir/body"
ab -q -k -l -c 64 -n 1000 -p "$dir/body" -T application/octet-stream "$url/add" >"$dir/ab" 2>&1
total=0
echo "== ab -k -c 64 -n 1000: $(sed -n 's/^Requests per second: *//p' "$dir/ab")"
check "ab: no failed request, every answer 2xx" bash -c "grep -q '^Failed requests: *0' '$dir/ab' && ! grep -q '^Non-2xx' '$dir/ab' && grep -q '^Complete requests: *1000' '$dir/ab'"
check "the checkpoint covers them" covered 1000

for count in $connections; do
    export TALLY_FOREIGN="$dir/wrk-$count"
    mkdir "$TALLY_FOREIGN"
    wrk -t1 -c16 -d"${seconds}s" --timeout 30s "$url/checkpoint" >"$dir/checkpoint" 2>&1 &
    reader=$!
    wrk -t1 -c16 -d"${seconds}s" --timeout 30s "$url/tile/entries/000" >"$dir/tile" 2>&1 &
    other=$!
    wrk -t2 -c"$count" -d"${seconds}s" --timeout 30s --latency -s bench/add.lua "$url" >"$dir/add" 2>&1 || { cat "$dir/add" >&2; exit 1; }
    wait $reader $other
    echo "== wrk -c $count -d ${seconds}s on /add, with 16 readers of the checkpoint and 16 of a tile"
    grep -E '^errors|50%|99%|Requests/sec' "$dir/add" | sed 's/^ */       /'
    for read in checkpoint tile; do echo "       $read: $(sed -n 's/^Requests\/sec: *//p' "$dir/$read") reads/s"; done
    answers=$(cat "$TALLY_FOREIGN"/indices-* | wc -l)
    cat "$TALLY_FOREIGN"/indices-* >>"$dir/indices"
    total=$((total + answers))
    sort -n -u "$dir/indices" >"$dir/sorted"
    check "$answers answers with an index, and no index twice in any run" [ "$answers" -gt 0 -a "$(wc -l <"$dir/sorted")" -eq "$total" ]
    check "nothing else was answered" [ -z "$(cat "$TALLY_FOREIGN"/refused-*)" ]
    check "no connection failed" quiet "$dir/add"
    check "no reader failed" bash -c "! grep -Eq 'Socket errors|Non-2xx' '$dir/checkpoint' '$dir/tile'"
    check "the published checkpoint ($(size)) covers the largest of them" covered $(($(tail -n 1 "$dir/sorted") + 1))
done
kill $server; wait $server || true
check "fsck is clean" "$bin/tally-log" fsck "$dir/log"
exit $wrong
