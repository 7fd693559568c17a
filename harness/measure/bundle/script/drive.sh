# ---- the run: every job of jobs.txt in its order, each once; what has ended is skipped
# Everything lies in the folder of this file: jobs/ID.json and ID.conf as they were made, out/ID-ATTEMPT/ what came
# of them. The driver is a session of its own and goes on without a cable; after a reboot it is called again.

BASE=${0%/*}
PATIENCE=${BENCH_WAIT_S:-3}
RESULT=${RESULT:-/data/local/tmp/bench-result.tar}
AGAIN=${AGAIN:-sh $0}

ask() { "$SH" "$BASE/wrapper.sh" "$@"; }

tell() { say "$*" >>"$BASE/progress.txt"; }

load_bundle_conf() {
    local key value
    while read -r key value; do
        case $key in
        owner) OWNER=$value ;; affinity) AFFINITY=$value ;; keep_s) KEEP_S=$value ;;
        battery_percent) BATTERY_PERCENT=$value ;; most_starts) MOST_STARTS=$value ;;
        little_parts) LITTLE_PARTS=$value ;; known_parts) KNOWN_PARTS=$value ;;
        esac
    done <"$BASE/bundle.conf"
}

# ---- before the first job

# What would spoil every number, or end the run.
check_fit() {
    local line level=''
    limited dumpsys battery >"$BASE/battery.tmp"
    while read -r line; do
        case $line in 'level: '*) level=${line#*: } ;; esac
    done <"$BASE/battery.tmp"
    rm -f "$BASE/battery.tmp"
    if is_number "$level" && [ "$level" -lt "$BATTERY_PERCENT" ]; then
        say "the battery is at $level %: charge it to $BATTERY_PERCENT % first"
        return 1
    fi
}

# A cable pulled while the archive was copied, or a full phone.
check_files() {
    local sum name seen
    [ ! -e "$BASE/checked" ] || return 0
    tell "checking files"
    while read -r sum name; do
        if [ "$sum" = end ]; then
            : >"$BASE/checked"
            return 0
        fi
        seen=$(sha256sum <"$BASE/$name")
        [ "${seen%% *}" = "$sum" ] || break
    done <"$BASE/bundle.sums"
    tell "file ${name:-bundle.sums} is damaged: copy and unpack the archive again"
    : >"$BASE/damaged" # run.sh takes this folder away
    return 1
}

# What a script of questions says, once: SCRIPT.sh → SCRIPT.txt.
ask_once() {
    [ -e "$BASE/$1.txt" ] && return
    "$SH" "$BASE/$1.sh" >"$BASE/$1.tmp" 2>/dev/null
    mv -f "$BASE/$1.tmp" "$BASE/$1.txt"
}

look_around() {
    local said
    ask_once state
    ask_once facts
    find_cores "$AFFINITY"
    choose_runner || { tell "no program in this bundle runs on this phone's processor"; return 1; }
    put "$BASE/target" "$TARGET"
    chmod 755 "$RUNNER"
    if [ ! -e "$BASE/skin" ]; then
        mkdir -p "$BASE/probe"
        cp "$BASE/probe.conf" "$BASE/probe/wrapper.conf"
        said=$(ask heat "$BASE/probe") || said=
        said=${said#*skin_milli\":} said=${said%%,*}
        is_number "$said" || said=unknown
        put "$BASE/skin" "$said"
    fi
    first_line "$BASE/skin"
    SKIN_AT_START=$LINE
}

# ---- one job

write_conf() { # ID OUT
    # shellcheck disable=SC2086
    {
        cat "$BASE/jobs/$1.conf"
        mask_of $USED && say "mask $MASK"
        [ -z "$LITTLES" ] || { mask_of $LITTLES && say "little_mask $MASK"; }
        [ "$SKIN_AT_START" = unknown ] || say "skin_start_milli $SKIN_AT_START"
    } >"$2/wrapper.conf"
}

# Available memory against what the model needs, in kB; unknown fits.
fits() { # OUT NEED CORE_NEED
    local key value rest available=''
    while read -r key value rest; do
        [ "$key" != MemAvailable: ] || available=$value
    done <"$1/conditions.txt"
    is_number "$available" || return 0
    # shellcheck disable=SC2086
    count $USED
    [ "$available" -ge $(($2 + $3 * COUNT)) ]
}

look_at() {
    STATE=$(ask state "$1") || STATE=
    STATE=${STATE##*'
'}
    PHASE=${STATE#*\"phase\":\"} PHASE=${PHASE%%\"*}
}

start_job() { # ID OUT NEED CORE_NEED
    "$SH" "$BASE/conditions.sh" >"$2/conditions.txt" 2>/dev/null
    if ! fits "$2" "$3" "$4"; then
        put "$2/state.json" '{"skipped":"does_not_fit"}'
        return 0
    fi
    write_conf "$1" "$2"
    date -u +%Y-%m-%dT%H:%M:%SZ >"$2/started" 2>/dev/null
    first_line "$2/starts"
    put "$2/starts" $((${LINE:-0} + 1))
    (cd "$BASE" && ask start "$2" -- "$RUNNER" "$BASE/jobs/$1.json" "$2/events.jsonl") >"$BASE/answer" 2>&1 && return 0
    first_line "$BASE/answer"
    case $LINE in
    *'"busy"'*) tell "another run of bench holds this phone: call again when it has ended" ;;
    *) tell "job $1 cannot be started: $LINE" ;;
    esac
    return 1
}

# Until it has ended, or somebody wants to stop.
wait_for() { # OUT
    local turns=0
    while [ ! -e "$1/run/done" ]; do
        if [ -e "$BASE/stop" ]; then
            ask stop "$1" >/dev/null
            ask clear "$1" >/dev/null
            rm -f "$1/events.jsonl" "$1/stderr.txt" "$1/starts"
            return 1
        fi
        turns=$((turns + 1))
        if [ $((turns % 10)) -eq 0 ]; then
            look_at "$1"
            case $PHASE in gate | running) ;; *) return 0 ;; esac
        fi
        sleep "$PATIENCE"
    done
}

# Android's log names what its low-memory killer ended by its number.
ask_who_killed() { # OUT
    first_line "$1/run/program" || return
    limited logcat -d -b all -t 2000 >"$BASE/log.tmp"
    grep -i -E 'lowmemorykiller|lmkd|oom-kill|Out of memory' "$BASE/log.tmp" |
        grep -q -E "(^|[^0-9])${LINE%% *}([^0-9]|$)" && : >"$1/killed_for_memory"
    rm -f "$BASE/log.tmp"
}

# What is worth keeping of a job that will not be run again.
keep() { # OUT
    case $STATE in *'"signal":9,"cause":"ended"'*) ask_who_killed "$1" ;; esac
    if [ -e "$1/stderr.txt" ]; then
        tail -c 4000 "$1/stderr.txt" >"$1/stderr.tmp" && mv -f "$1/stderr.tmp" "$1/stderr.txt"
    fi
    rm -rf "$1/run" "$1/wrapper.log" "$1/stdout.txt"
    put "$1/state.json" "$STATE"
}

# Whether nobody saw how the program ended, as outcome.py tells it: no fault of the program's.
died() {
    case $PHASE:$STATE in gone:* | *'"rc":null'* | *'"cause":"lost"'*) return 0 ;; esac
    return 1
}

attempt() { # ID OUT NEED CORE_NEED
    mkdir -p "$2"
    while [ ! -e "$2/state.json" ]; do
        [ ! -e "$BASE/stop" ] || return 1
        look_at "$2"
        case $PHASE in
        absent) start_job "$1" "$2" "$3" "$4" || return 1 ;;
        gate | running) wait_for "$2" || return 1 ;;
        gone | ended)
            first_line "$2/starts"
            if died && [ "${LINE:-0}" -lt "$MOST_STARTS" ]; then
                ask clear "$2" >/dev/null || return 1
                rm -f "$2/events.jsonl" "$2/stderr.txt"
            else
                keep "$2"
            fi
            ;;
        *) tell "the wrapper does not answer: $STATE" && return 1 ;;
        esac
    done
}

# Whether a timed job is worth repeating: the phone grew hot, or the system took clocks from the cores that were used.
disturbed() { # OUT
    local samples="$1/samples.jsonl" column=0 name cpu related
    [ -e "$samples" ] || return 1
    ! grep -q '"status":[2-9]' "$samples" || return 0
    grep -o '"most_khz":\[[^]]*\]' "$samples" | tr -d '[]' >"$BASE/clocks.tmp"
    for name in $(head -n 1 "$samples" | grep -o '"clocks":\[[^]]*\]' | tr -d '[]"' | tr ',:' '  '); do
        [ "$name" != clocks ] || continue
        column=$((column + 1))
        related=
        case $name in
        policy*) first_line "$CPUS/cpufreq/$name/related_cpus" && related=$LINE || related=${name#policy} ;;
        cpu*) related=${name#cpu} ;;
        esac
        for cpu in $related; do
            case " $USED " in *" $cpu "*) ;; *) continue ;; esac
            [ "$(sed 's/^"most_khz"://' "$BASE/clocks.tmp" | cut -d, -f$column | sort -u | wc -l)" -le 1 ] || return 0
            break
        done
    done
    return 1
}

one() { # NUMBER ID REPEATS NEED CORE_NEED TITLE
    local attempt=0
    while :; do
        [ -e "$BASE/out/$2-$attempt/state.json" ] || tell "$1 of $JOBS: $6"
        attempt "$2" "$BASE/out/$2-$attempt" "$4" "$5" || return 1
        [ $attempt -lt "$3" ] && disturbed "$BASE/out/$2-$attempt" || return 0
        attempt=$((attempt + 1))
    done
}

every_job() {
    local id repeats need core title number=0
    while read -r id repeats need core title <&3; do
        number=$((number + 1))
        one $number "$id" "$repeats" "$need" "$core" "$title" || return 1
    done 3<"$BASE/jobs.txt"
}

drive() {
    here_i_am "$BASE/driver"
    check_files && look_around || return
    # shellcheck disable=SC2086
    [ -z "$LITTLES" ] || { mask_of $LITTLES && taskset -p "$MASK" $$ >/dev/null 2>&1; }
    ask recover "$OWNER" >/dev/null
    if ! ask lock "$OWNER" "$KEEP_S" >/dev/null; then
        tell "another run of bench holds this phone: call again when it has ended"
        return
    fi
    if every_job; then
        if pack; then : >"$BASE/finished"; else tell "the result cannot be written to $RESULT: no room?"; fi
    fi
    ask unlock "$OWNER" >/dev/null
}
