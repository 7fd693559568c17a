# ---- lock
# lock/N are symbolic links whose target is the text "OWNER PID BORN BOOT EXPIRES" or "free"; the highest N counts.
# Making a link is atomic with its text and fails where N exists: of all who want to follow N, one wins. Whoever has
# made N looks whether it is the highest, for one who was slow may have made an old number again.

lock_read() {
    local link n held tries=0
    while :; do
        LOCK_TOP=0 held=''
        for link in "$ROOT"/lock/*; do
            n=${link##*/}
            is_number "$n" && [ "$n" -gt "$LOCK_TOP" ] && LOCK_TOP=$n
        done
        [ "$LOCK_TOP" = 0 ] && break
        held=$(readlink "$ROOT/lock/$LOCK_TOP") && break
        tries=$((tries + 1)) # it was followed and removed meanwhile
        [ $tries -lt 100 ] || break
    done
    [ "$held" != free ] || held=''
    # shellcheck disable=SC2086
    set -- $held
    LOCK_OWNER=${1-} LOCK_PID=${2-0} LOCK_BORN=${3-} LOCK_BOOT=${4-} LOCK_EXPIRES=${5-0}
}

# Held by a process that lives, or not yet expired; of another boot it is neither.
lock_held() {
    LOCK_ALIVE=false
    [ -n "$LOCK_OWNER" ] && [ "$LOCK_BOOT" = "$BOOT" ] || return 1
    if [ "$LOCK_PID" != 0 ] && born "$LOCK_PID" && [ "$BORN" = "$LOCK_BORN" ]; then
        LOCK_ALIVE=true
        return 0
    fi
    uptime_now
    [ "$UP_S" -lt "$LOCK_EXPIRES" ]
}

# Makes the next link; false where another was faster.
lock_follow() {
    local next=$((LOCK_TOP + 1)) link
    ln -s "$1" "$ROOT/lock/$next" 2>/dev/null || return 1
    lock_read
    if [ "$LOCK_TOP" != "$next" ]; then
        rm -f "$ROOT/lock/$next"
        return 1
    fi
    for link in "$ROOT"/lock/*; do
        is_number "${link##*/}" && [ "${link##*/}" -lt $((next - 1)) ] && rm -f "$link"
    done
    return 0
}

lock_failed() {
    say "{\"lock\":\"failed\",\"reason\":\"$1\"}"
    exit 1
}

# lock_take OWNER EXPIRE_S PID: PID 0 is nobody, so that only the expiry counts. The same owner may take it again.
lock_take() {
    local since=0 tries=0
    case $1 in '' | free | *[!A-Za-z0-9._:@-]*) lock_failed 'an owner is made of letters, digits and ._:@-' ;; esac
    mkdir -p "$ROOT/lock"
    [ "$3" = 0 ] || { born "$3" && since=$BORN; }
    while [ $tries -lt 200 ]; do
        lock_read
        lock_held && [ "$LOCK_OWNER" != "$1" ] && return $BUSY
        uptime_now
        lock_follow "$1 $3 $since $BOOT $((UP_S + $2))" && return 0
        tries=$((tries + 1))
    done
    lock_failed "cannot write to $ROOT/lock"
}

# False where it is not, or not any more, the owner's.
lock_free() {
    local tries=0
    while [ $tries -lt 200 ]; do
        lock_read
        [ "$LOCK_OWNER" = "$1" ] || return 1
        lock_follow free && return 0
        tries=$((tries + 1))
    done
    lock_failed "cannot write to $ROOT/lock"
}

say_holder() {
    lock_read
    if ! lock_held; then
        say "{\"lock\":\"free\"}"
    else
        uptime_now
        say "{\"lock\":\"$1\",\"owner\":\"$LOCK_OWNER\",\"alive\":$LOCK_ALIVE,\"left_s\":$((LOCK_EXPIRES - UP_S))}"
    fi
}
