# ---- a job
# The runner starts the program and writes how it ended. The supervisor does what comes before and after. The guard
# waits for the supervisor's death and takes its place. Each is a session of its own, without a tie to who called.
# JOB/run/claim is made once: by the runner just before it starts the program, or by whoever gives up on a runner.

on_little_core() { [ -z "$LITTLE" ] || taskset -p "$LITTLE" $$ >/dev/null 2>&1; }

# How it ended. A shell cannot tell `exit 137` from SIGKILL: above 128 it is taken for a signal.
write_rc() { # JOB CODE CAUSE START_MS
    local signal=null cause="$3"
    first_line "$1/run/cause" && cause=$LINE
    [ "$2" != null ] && [ "$2" -gt 128 ] && [ "$2" -le 192 ] && signal=$(($2 - 128))
    uptime_now
    put "$1/rc" "{\"code\":$2,\"signal\":$signal,\"cause\":\"$cause\",\"start_ms\":$4,\"end_ms\":$UP_MS,\"boot_id\":\"$BOOT\"}"
}

# SESSION: how a program gets a session of its own and is waited for. Some toybox's setsid leaves a child behind and
# ends at once, unless it is told to wait; where it cannot be told, the program stays in the runner's session.
find_session() {
    local try
    SESSION=
    for try in setsid 'setsid -w'; do
        $try "$SH" -c 'exit 3' </dev/null >/dev/null 2>&1
        [ $? -ne 3 ] || { SESSION=$try; return; }
    done
}

# shellcheck disable=SC2086
waited_for() { exec $SESSION "$SH" "$SELF" "$@"; } # with &, as `detached`

run_program() { # JOB PROGRAM…
    local job="$1" start code
    shift
    here_i_am "$job/run/runner"
    find_session
    mkdir "$job/run/claim" 2>/dev/null || return
    uptime_now
    start=$UP_MS
    put "$job/run/start" "$UP_MS"
    waited_for _program "$job" "$MASK" "$@" </dev/null >>"$job/stdout.txt" 2>>"$job/stderr.txt" &
    wait $!
    code=$?
    alive "$job/run/program" || { write_rc "$job" $code ended "$start"; return; }
    while alive "$job/run/program"; do # it was no child: how it ends is not seen
        sleep "$POLL_S"
    done
    write_rc "$job" null lost "$start"
}

become_program() { # JOB MASK PROGRAM…
    local mask="$2"
    here_i_am "$1/run/program"
    shift 2
    if [ -n "$mask" ]; then
        exec taskset "$mask" "$@"
    fi
    exec "$@"
}

# The list of cores that the program may use, read once it is the program and not what starts it.
read_affinity() {
    local key value name=''
    alive "$1/run/program" || return 1
    {
        while read -r key value; do
            case $key in
            Name:) name=$value ;;
            Cpus_allowed_list:) break ;;
            esac
        done <"/proc/$PID/status"
    } 2>/dev/null
    case $name in '' | taskset | sh | mksh | dash | ash | busybox | toybox | setsid | env) return 1 ;; esac
    is_number "${value%%[-,]*}" && put "$1/affinity" "$value"
}

end_program() { # JOB CAUSE
    [ -e "$1/run/cause" ] || put "$1/run/cause" "$2"
    if [ ! -e "$1/run/asked" ]; then
        put "$1/run/asked" TERM
        kill_family TERM "$1/run/program" && sleep "$POLL_S"
    fi
    kill_family KILL "$1/run/program"
}

# Time is counted in turns: the uptime goes on while a phone sleeps. Who takes over counts anew.
watch_program() {
    local turns=0
    while [ ! -e "$1/rc" ]; do
        if ! alive "$1/run/runner" && ! alive "$1/run/program" && [ ! -e "$1/rc" ]; then
            first_line "$1/run/start"
            LINE=${LINE#* }
            write_rc "$1" null lost "${LINE:-null}"
            return
        fi
        [ -e "$1/affinity" ] || [ $turns -ge 60 ] || read_affinity "$1"
        turns=$((turns + 1))
        if [ -e "$1/run/stop" ]; then
            end_program "$1" stopped
        elif [ "$LIMIT_TURNS" -gt 0 ] && [ $turns -ge "$LIMIT_TURNS" ]; then
            end_program "$1" timed_out
        fi
        sleep "$POLL_S"
    done
}

# From wherever the job stands to its end, whoever started it.
follow() {
    local turns=0
    while [ ! -d "$1/run/claim" ] && [ $turns -lt 20 ]; do
        turns=$((turns + 1))
        sleep "$POLL_S"
    done
    if mkdir "$1/run/claim" 2>/dev/null; then
        write_rc "$1" null lost null
    else
        watch_program "$1"
    fi
    finish "$1"
}

finish() {
    kill_family TERM "$1/run/sampler"
    settings_restore
    say "restored $RESTORED" >>"$1/settings.txt"
    rm -f "$ROOT/active"
    if [ "$KEEP_S" -gt 0 ]; then
        lock_take "$OWNER" "$KEEP_S" 0
    else
        lock_free "$OWNER"
    fi
    put "$1/run/done" "$RESTORED"
}

# OTHER: a job whose program still runs though its supervisors died; not $1.
other_job() {
    first_line "$ROOT/active" || return 1
    OTHER=$LINE
    [ "$OTHER" != "$1" ] && { alive "$OTHER/run/runner" || alive "$OTHER/run/program"; }
}

# Lock and folder are this job's, or VERDICT says why not.
begin() { # JOB VERDICT
    if ! mkdir "$1/run" 2>/dev/null; then
        put "$2" '{"start":"already"}'
        return 1
    fi
    if ! lock_take "$OWNER" "$EXPIRE_S" $$; then
        rmdir "$1/run"
        put "$2" "$(say_holder busy)"
        return 1
    fi
    if other_job "$1"; then
        rmdir "$1/run"
        lock_free "$OWNER"
        put "$2" "{\"lock\":\"busy\",\"owner\":\"${OTHER##*/}\",\"alive\":true,\"left_s\":0}"
        return 1
    fi
    here_i_am "$1/run/supervisor"
    put "$1/run/phase" gate
    put "$ROOT/active" "$1"
    put "$1/run/boot" "$BOOT"
    put "$2" '{"start":"started"}'
}

change_settings() {
    settings_restore
    [ -n "$SETTINGS" ] || return 0
    if settings_save; then
        settings_apply "$JOB"
    else
        say 'failed save' >"$JOB/settings.txt"
    fi
    # Off its cable, or when that is pulled, a phone whose screen is off sleeps, and the job with it. That the screen
    # stays on, and is dark, are the settings' matter. KEYCODE_WAKEUP does nothing to one that is awake.
    limited input keyevent 224 >/dev/null
}

supervise() { # JOB VERDICT PROGRAM…
    local verdict="$1/$2"
    JOB=$1
    shift 2
    load_conf "$JOB"
    begin "$JOB" "$verdict" || return
    trap 'put "$JOB/run/stop" stop' TERM INT
    detached _guard "$JOB" </dev/null >>"$JOB/wrapper.log" 2>&1 &
    on_little_core
    change_settings
    [ -z "$GATE" ] || gate "$JOB"
    put "$JOB/run/phase" running
    [ -z "$SAMPLE_S" ] || detached _sample "$JOB" </dev/null >>"$JOB/wrapper.log" 2>&1 &
    if [ -e "$JOB/run/stop" ]; then
        mkdir "$JOB/run/claim" && write_rc "$JOB" null stopped null
    else
        detached _run "$JOB" "$@" </dev/null >>"$JOB/wrapper.log" 2>&1 &
    fi
    follow "$JOB"
}

guard() {
    load_conf "$1"
    on_little_core
    here_i_am "$1/run/guard" || return
    while [ ! -e "$1/run/done" ] && alive "$1/run/supervisor"; do
        sleep "$POLL_S"
    done
    [ ! -e "$1/run/done" ] || return
    # The folder may have been removed meanwhile, or have been started anew with a guard of its own.
    alive "$1/run/guard" && [ "$PID" = $$ ] || return
    # Where another owner has the phone by now, what is left is his to restore.
    lock_take "$OWNER" "$EXPIRE_S" $$ || return
    follow "$1"
}
