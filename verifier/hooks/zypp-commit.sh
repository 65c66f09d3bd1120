#!/bin/sh
# Written by "tally setup zypper". "tally setup zypper --remove" takes it away; see specs/gate.md.
# libzypp lets no commit plugin refuse anything, so a refusal ends the program that asks, before it has begun to install.
( : 2>>"/proc/$PPID/fd/2" ) 2>/dev/null && exec 2>>"/proc/$PPID/fd/2"
# libzypp goes on without a plugin that is late.
limit=${ZYPP_PLUGIN_RECEIVE_TIMEOUT:-${ZYPP_PLUGIN_TIMEOUT:-30}}
case $limit in '' | *[!0-9]*) limit=30 ;; esac
if test "$limit" -gt 6; then limit=$((limit - 5)); else limit=1; fi

judge() {
    printf '%s' "$1" | timeout -k 1 "$limit" @PROGRAM@ --config @CONFIG@ gate zypper --pid "$PPID" >&2
    s=$?
    test $s -eq 0 && return
    if test ! -x @PROGRAM@; then
        echo 'tally is not there: packages are not judged' >&2
        return
    fi
    if test $s -ge 10; then
        test -e @MARKER@ || return
        # What only removes passes whatever tally does.
        case $1 in *'"+"'* | *'"M"'*) ;; *) return ;; esac
        echo "tally failed (status $s) and is to be asked" >&2
    fi
    echo 'tally ends this program: nothing was installed' >&2
    kill -KILL "$PPID"
}

while frame=$(sed -zu q | tr -d '\0') && test -n "$frame"; do
    case $frame in COMMITBEGIN*) judge "$frame" ;; esac
    printf 'ACK\n\n\0'
    case $frame in _DISCONNECT*) exit 0 ;; esac
done
