# Sourced by foreign.sh and hammer.sh, which put load on an open log.
bin=${TALLY_BIN:-$(cargo metadata --no-deps --offline --format-version=1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release}
[ -x "$bin/tally-log" ] || { echo "error: $bin has no tally-log; run make build" >&2; exit 1; }

# start_log DIR: makes an open log in DIR and serves it, as process $server at $url; what it printed is in DIR/keys, DIR/out and DIR/err.
start_log() {
    ulimit -n "$(ulimit -H -n)"
    "$bin/tally-log" init --open --origin foreign.example/log --dir "$1/log" >"$1/keys"
    echo "quorum none" >"$1/policy"
    setpriv --pdeathsig TERM -- "$bin/tally-log" serve --dir "$1/log" --listen 127.0.0.1:0 --policy "$1/policy" >"$1/out" 2>"$1/err" &
    server=$!
    for _ in $(seq 100); do
        url=$(sed -n 's/^listening on /http:\/\//p' "$1/out")
        [ -n "$url" ] && size >/dev/null && return 0
        sleep 0.1
    done
    cat "$1/err" >&2
    echo "error: the log did not start" >&2
    exit 1
}
# The size of the published checkpoint.
size() { curl -s -f "$url/checkpoint" | sed -n 2p | grep .; }
