# ---- what the host asks

FETCHED='events.jsonl answers.jsonl samples.jsonl gate.jsonl stdout.txt stderr.txt settings.txt'

start() { # JOB PROGRAM…
    local job="$1" verdict="verdict.$$" turns=0
    shift
    [ -r "$job/wrapper.conf" ] || { say '{"start":"failed","reason":"no wrapper.conf in the folder"}'; exit 2; }
    rm -f "$job/$verdict"
    detached _supervise "$job" "$verdict" "$@" </dev/null >>"$job/wrapper.log" 2>&1 &
    while [ ! -s "$job/$verdict" ] && [ $turns -lt 150 ]; do
        turns=$((turns + 1))
        nap
    done
    first_line "$job/$verdict" || LINE='{"start":"failed","reason":"the supervisor did not begin"}'
    rm -f "$job/$verdict"
    say "$LINE"
    case $LINE in *'"busy"'*) exit $BUSY ;; *'"failed"'*) exit 1 ;; esac
}

watched() { alive "$1/run/supervisor" || alive "$1/run/guard"; }

working() { alive "$1/run/runner" || alive "$1/run/program"; }

# PHASE of a job. One that has only just begun is waited for.
phase_of() {
    local boot turns=0
    PHASE=gone
    while [ -d "$1/run" ] && [ ! -e "$1/run/boot" ] && [ $turns -lt 20 ]; do
        turns=$((turns + 1))
        nap
    done
    first_line "$1/run/boot"
    boot=$LINE
    if [ ! -d "$1/run" ]; then
        PHASE=absent
    elif [ -e "$1/run/done" ]; then
        PHASE=ended
    elif [ "$boot" = "$BOOT" ] && watched "$1"; then
        first_line "$1/run/phase"
        PHASE=${LINE:-gate}
    elif [ -e "$1/rc" ]; then
        PHASE=ended
    elif [ "$boot" = "$BOOT" ] && working "$1"; then
        PHASE=running
    elif [ -e "$1/run/done" ]; then
        PHASE=ended # it ended between two looks
    fi
}

# SIZES of the files that are there, as members of a JSON object.
sizes_of() {
    local word
    SIZES=
    for word in $(cd "$1" 2>/dev/null && stat -c '"%n":%s' $FETCHED 2>/dev/null); do
        SIZES=$SIZES,$word
    done
    SIZES=${SIZES#,}
}

state() {
    local rc=null gate=null pid=null affinity=null changed=false
    phase_of "$1"
    # Read after the phase: with `ended`, all of it is there.
    first_line "$1/rc" && rc=$LINE
    first_line "$1/gate.json" && gate=$LINE
    first_line "$1/affinity" && affinity="\"$LINE\""
    alive "$1/run/program" && pid=$PID
    [ -e "$SAVED" ] && changed=true
    sizes_of "$1"
    uptime_now
    say "{\"phase\":\"$PHASE\",\"pid\":$pid,\"rc\":$rc,\"gate\":$gate,\"affinity\":$affinity," \
        "\"settings_changed\":$changed,\"bytes\":{$SIZES},\"uptime_ms\":$UP_MS,\"boot_id\":\"$BOOT\"}"
}

# Ends the job and waits until its settings are restored; where nobody is left to do that, a new guard is.
stop() {
    local turns=0
    phase_of "$1"
    case $PHASE in gate | running)
        put "$1/run/stop" stop
        watched "$1" || detached _guard "$1" </dev/null >>"$1/wrapper.log" 2>&1 &
        while [ ! -e "$1/run/done" ] && [ $turns -lt 300 ]; do
            turns=$((turns + 1))
            nap
        done
        ;;
    esac
    state "$1"
}

# Makes the folder of an ended or lost job ready for another start; what its program wrote stays.
clear_job() {
    phase_of "$1"
    case $PHASE in gate | running)
        say "{\"lock\":\"busy\",\"owner\":\"${1##*/}\",\"alive\":true,\"left_s\":0}"
        exit $BUSY
        ;;
    esac
    rm -rf "$1/run"
    rm -f "$1/rc" "$1/gate.json" "$1/gate.jsonl" "$1/affinity" "$1/settings.txt" "$1/samples.jsonl"
    state "$1"
}

# After a dead wrapper or a reboot. A program that still runs gets a guard; everything else is put back.
recover() { # OWNER
    local kept=free
    if first_line "$ROOT/active"; then
        OTHER=$LINE
        phase_of "$OTHER"
        case $PHASE in gate | running)
            if ! watched "$OTHER"; then
                detached _guard "$OTHER" </dev/null >>"$OTHER/wrapper.log" 2>&1 &
                PHASE=adopted
            fi
            say "{\"recover\":\"$PHASE\",\"job\":\"${OTHER##*/}\"}"
            return
            ;;
        esac
    fi
    lock_read
    # Taken by the host it stays; of a dead job it goes.
    lock_held && [ "$LOCK_OWNER" = "$1" ] && [ "$LOCK_PID" = 0 ] && kept=$LOCK_EXPIRES
    lock_take "$1" 60 $$ || { say_holder busy; exit $BUSY; }
    settings_restore
    rm -f "$ROOT/active"
    if [ "$kept" = free ]; then
        lock_free "$1"
    else
        uptime_now
        lock_take "$1" $((kept - UP_S)) 0
    fi
    say "{\"recover\":\"done\",\"settings\":\"$RESTORED\"}"
    [ "$RESTORED" != failed ]
}

heat() {
    load_conf "$1"
    find_zones
    read_heat
    say "{$HEAT}"
}

settings() { # save|apply JOB, or restore
    case $1 in
    save)
        load_conf "$2"
        settings_save || { say '{"settings":"failed"}'; exit 1; }
        ;;
    apply)
        load_conf "$2"
        settings_apply "$2"
        ;;
    restore) settings_restore ;;
    *) misused ;;
    esac
    say "{\"settings\":\"$1\",\"restored\":\"${RESTORED:-none}\"}"
    [ "${RESTORED:-none}" != failed ]
}

misused() {
    say '{"error":"not understood"}'
    exit 2
}

main() {
    local verb="${1-}" job
    [ $# -eq 0 ] || shift
    trap '' HUP
    case $verb:$# in
    lock:2)
        is_number "$2" || misused
        lock_take "$1" "$2" 0 || { say_holder busy; exit $BUSY; }
        say_holder held
        ;;
    unlock:1)
        lock_free "$1" || { say '{"lock":"not_held"}'; exit 1; }
        say '{"lock":"free"}'
        ;;
    holder:0) say_holder held ;;
    state:1) state "$1" ;;
    stop:1) stop "$1" ;;
    clear:1) clear_job "$1" ;;
    recover:1) recover "$1" ;;
    heat:1) heat "$1" ;;
    settings:1 | settings:2) settings "$@" ;;
    start:*)
        [ $# -ge 3 ] && [ "$2" = -- ] || misused
        job=$1
        shift 2
        start "$job" "$@"
        ;;
    _supervise:*) supervise "$@" ;;
    _guard:1) guard "$1" ;;
    _sample:1) sample "$1" ;;
    _run:*)
        load_conf "$1"
        run_program "$@"
        ;;
    _program:*) become_program "$@" ;;
    *) misused ;;
    esac
}

main "$@"
