#!/system/bin/sh
# What runs on the phone beside a program: lock, settings, cool-down gate, sampler, and the program's end.
# It goes on without a host. See wrapper.py and job.py for who calls it.
#
# For mksh with toybox, and for any POSIX shell with `local`. Arithmetic may have 32 bits only: times are compared
# in seconds, and milliseconds are put together as text. Time is /proc/uptime; wall time is never read.
# Every line printed is one JSON object.
#
#   lock OWNER EXPIRE_S      unlock OWNER       holder
#   start JOB -- PROGRAM…    state JOB          stop JOB      clear JOB
#   recover OWNER            heat JOB           settings save|apply JOB      settings restore
#
# JOB is a folder with wrapper.conf (job.py writes it). Exit codes: 0 done, 2 not understood, 75 busy, 1 else.

set -u
ROOT=${BENCH_ROOT:-/data/local/tmp/bench}
SYSROOT=${SYSROOT:-}
SH=${BENCH_SH:-sh}
SELF=$0
SAVED=$ROOT/settings.saved
BUSY=75

say() { echo "$*"; }

# put FILE TEXT: the whole text or nothing.
put() { echo "$2" >"$1.tmp.$$" && mv -f "$1.tmp.$$" "$1"; }

if command -v timeout >/dev/null 2>&1; then
    limited() { timeout "${BENCH_ASK_S:-10}" "$@" </dev/null 2>/dev/null; }
else
    limited() { "$@" </dev/null 2>/dev/null; }
fi

# Always with &: it takes the place of the shell that was forked for it.
if command -v setsid >/dev/null 2>&1; then
    detached() { exec setsid "$SH" "$SELF" "$@"; }
else
    detached() { exec "$SH" "$SELF" "$@"; }
fi

nap() { sleep 0.1 2>/dev/null || sleep 1; }

is_number() { case $1 in '' | *[!0-9]*) return 1 ;; esac; }

# First line of a file in LINE; empty and false where it cannot be read.
first_line() {
    LINE=
    { read -r LINE <"$1"; } 2>/dev/null || [ -n "$LINE" ]
}

# UP_S, and UP_MS as text.
uptime_now() {
    local up
    UP_S=0 UP_MS=null
    first_line "$SYSROOT/proc/uptime" || return 1
    up=${LINE%% *}
    is_number "${up%.*}" && is_number "${up#*.}" || return 1
    UP_S=${up%.*} up=${up#*.}00
    UP_MS=$UP_S${up%"${up#??}"}0
    while [ "${UP_MS#0}" != "$UP_MS" ] && [ "$UP_MS" != 0 ]; do UP_MS=${UP_MS#0}; done
}

first_line "$SYSROOT/proc/sys/kernel/random/boot_id"
BOOT=${LINE:-unknown}

# ---- processes: a number is used again, a number with its start time is not

# BORN: when process $1 started, in ticks; false when it is gone or only waits to be buried.
born() {
    BORN=
    first_line "/proc/$1/stat" || return 1
    set -f
    # shellcheck disable=SC2086
    set -- ${LINE##*') '}
    set +f
    case ${1-Z} in Z | X) return 1 ;; esac
    BORN=${20-}
}

here_i_am() { born $$ && put "$1" "$$ $BORN"; }

# PID of a file that `here_i_am` wrote; false when that process has ended.
alive() {
    local pid since
    PID=
    first_line "$1" || return 1
    pid=${LINE%% *} since=${LINE#* }
    is_number "$pid" && born "$pid" && [ "$BORN" = "$since" ] && PID=$pid
}

kill_family() {
    alive "$2" || return 1
    kill -s "$1" -- "-$PID" 2>/dev/null || kill -s "$1" "$PID" 2>/dev/null
}
