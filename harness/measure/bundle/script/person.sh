# ---- the result: one file, its list of sums first

pack() {
    local folder
    (
        cd "$BASE" || exit 1
        sha256sum manifest.json plan.json facts.txt state.txt target requests/* 2>/dev/null
        for folder in out/*; do
            [ -e "$folder/state.json" ] || continue
            rm -f "$folder"/verdict.* "$folder"/*.tmp.* # a phone that restarted in the middle of writing leaves them
            sha256sum "$folder"/*
        done
    ) >"$BASE/SHA256SUMS"
    set -- SHA256SUMS manifest.json plan.json
    for folder in facts.txt state.txt target requests; do [ ! -e "$BASE/$folder" ] || set -- "$@" "$folder"; done
    for folder in "$BASE"/out/*; do [ ! -e "$folder/state.json" ] || set -- "$@" "out/${folder##*/}"; done
    (cd "$BASE" && tar cf "$RESULT.part" "$@") && mv -f "$RESULT.part" "$RESULT"
}

# ---- what a person asks

running() { alive "$BASE/driver"; }

say_end() {
    if [ -e "$BASE/finished" ]; then
        say "the run is complete: $RESULT"
        say "next, on the computer: adb pull $RESULT && bench import ${RESULT##*/}"
        return 0
    fi
    [ ! -d "$BASE" ] || say "the run has stopped before its end: the same line goes on with it"
    return 1
}

show_news() { # LINES that were shown
    [ -e "$BASE/progress.txt" ] || return 0
    tail -n +$(($1 + 1)) "$BASE/progress.txt" >"$BASE/news.$$"
    cat "$BASE/news.$$"
    SHOWN=$(($1 + $(wc -l <"$BASE/news.$$")))
    rm -f "$BASE/news.$$"
}

watch() {
    SHOWN=$1
    say "it goes on without cable and computer; to look again: adb shell $AGAIN; to end it: adb shell $AGAIN stop"
    while running; do
        show_news "$SHOWN"
        sleep "$PATIENCE"
    done
    show_news "$SHOWN"
    say_end
}

run() {
    local turns=0 before=0
    if [ ! -e "$BASE/finished" ] && ! running; then
        check_fit || exit 1
        rm -f "$BASE/stop" "$BASE/driver"
        mkdir -p "$BASE/out"
        [ ! -e "$BASE/progress.txt" ] || before=$(wc -l <"$BASE/progress.txt")
        detached _drive </dev/null >>"$BASE/drive.log" 2>&1 &
        while [ ! -e "$BASE/driver" ] && [ $turns -lt 100 ]; do
            turns=$((turns + 1))
            nap
        done
    fi
    if [ -e "$BASE/finished" ]; then
        [ -e "$RESULT" ] || pack
        say_end
    else
        watch "$before"
    fi
}

stop_run() {
    : >"$BASE/stop"
    while running; do sleep 1; done
    say "stopped, and the phone's settings are its own again; the same line goes on"
}

main() {
    local verb="${1-run}"
    trap '' HUP
    load_bundle_conf
    JOBS=$(wc -l <"$BASE/jobs.txt")
    case $verb in
    run) run ;;
    status) if running; then say "it runs" && tail -n 1 "$BASE/progress.txt"; else say_end; fi ;;
    stop) stop_run ;;
    pack) pack && say "what there is so far: $RESULT" ;;
    _drive) drive ;;
    *) say "run.sh [run|status|stop|pack]" && exit 2 ;;
    esac
}

main "$@"
