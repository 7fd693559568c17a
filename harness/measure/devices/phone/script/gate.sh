# ---- gate: the program starts cool, or it is said that it did not

# JUDGED: hot when one sensor says so; else blind when one is missing, the skin's temperature at the start too.
judge_heat() {
    JUDGED=cool
    [ -n "$STATUS" ] && [ -n "$SKIN" ] && [ -n "$CPU" ] && [ -n "$SKIN_START" ] || JUDGED=blind
    [ "${STATUS:-0}" -eq 0 ] || JUDGED=hot
    [ -z "$CPU" ] || [ "$CPU" -le "$CPU_MOST" ] || JUDGED=hot
    [ -z "$SKIN" ] || [ "$SKIN" -le "$SKIN_MOST" ] || JUDGED=hot
    [ -z "$SKIN" ] || [ -z "$SKIN_START" ] || [ "$SKIN" -le $((SKIN_START + SKIN_RISE)) ] || JUDGED=hot
}

# RESULT, empty until it is known: waited for $1 s, cool for the last $2 s, not hot for the last $3 s (-1: not so).
judge_gate() {
    RESULT=
    [ "$1" -ge "$LEAST_S" ] || return
    if [ "$2" -ge "$STABLE_S" ]; then
        RESULT=settled
    elif [ $JUDGED = blind ] && [ "$1" -ge "$BLIND_S" ] && [ "$3" -ge "$STABLE_S" ]; then
        RESULT=unknown
    elif [ "$1" -ge "$MOST_S" ]; then
        RESULT=not_settled
        [ $JUDGED != blind ] || RESULT=unknown
    fi
}

gate() {
    local begin cool='' calm='' waited
    find_zones
    uptime_now
    begin=$UP_S
    while :; do
        read_heat
        judge_heat
        waited=$((UP_S - begin))
        if [ $JUDGED != cool ]; then cool=''; elif [ -z "$cool" ]; then cool=$UP_S; fi
        if [ $JUDGED = hot ]; then calm=''; elif [ -z "$calm" ]; then calm=$UP_S; fi
        say "{$HEAT,\"judged\":\"$JUDGED\"}" >>"$1/gate.jsonl"
        if [ -e "$1/run/stop" ]; then
            RESULT=stopped
        else
            judge_gate $waited $((UP_S - ${cool:-$((UP_S + 1))})) $((UP_S - ${calm:-$((UP_S + 1))}))
        fi
        [ -z "$RESULT" ] || break
        sleep "$GATE_POLL_S"
    done
    put "$1/gate.json" "{\"result\":\"$RESULT\",\"waited_s\":$waited}"
}
