# ---- sensors

# Temperature in MILLI (m°C), from whole degrees, degrees with a point, or m°C; empty where it cannot be true.
to_milli() {
    local whole="$1" part=''
    MILLI=
    case $1 in *.*) whole=${1%%.*} part=${1#*.} ;; esac
    while [ "${whole#0}" != "$whole" ]; do whole=${whole#0}; done
    is_number "$whole" && [ ${#whole} -le 6 ] && is_number "${part:-0}" || return 1
    part=${part}000
    if [ "$whole" -le 150 ]; then
        MILLI=$whole${part%"${part#???}"}
    elif [ "$whole" -ge 1000 ] && [ "$whole" -le 150000 ]; then
        MILLI=$whole
    else
        return 1
    fi
}

# Zones by their type, as patterns of the shell: CPU_PATHS, SKIN_PATHS.
find_zones() {
    local zone pattern kind
    CPU_PATHS='' SKIN_PATHS=''
    for zone in "$SYSROOT"/sys/class/thermal/thermal_zone*; do
        first_line "$zone/type" || continue
        kind=$LINE
        set -f
        for pattern in $CPU_ZONES; do
            # shellcheck disable=SC2254
            case $kind in $pattern) CPU_PATHS="$CPU_PATHS $zone" && break ;; esac
        done
        for pattern in $SKIN_ZONES; do
            # shellcheck disable=SC2254
            case $kind in $pattern) SKIN_PATHS="$SKIN_PATHS $zone" && break ;; esac
        done
        set +f
    done
}

hottest() {
    local zone
    HOTTEST=
    for zone in "$@"; do
        first_line "$zone/temp" && to_milli "$LINE" && higher "$HOTTEST" && HOTTEST=$MILLI
    done
}

higher() { [ -z "$1" ] || [ "$MILLI" -gt "$1" ]; }

# STATUS of the thermal service; its own temperatures raise SKIN and CPU. As parsers/thermal.py: a status that somebody
# set by hand is unknown, and a sensor's name tells more than its type, which some makers number otherwise.
read_thermal_service() {
    local line section='' kind override='' out="$ROOT/thermal.$$"
    limited dumpsys thermalservice >"$out" || section=none
    while read -r line; do
        case $line in
        'IsStatusOverride: true'*) override=1 ;;
        'Thermal Status: '*) is_number "${line#*: }" && STATUS=${line#*: } ;;
        'Current temperatures from HAL:'*) section=hal ;;
        *:) section= ;;
        'Temperature{'*)
            [ "$section" = hal ] || continue
            kind=${line#*mType=} kind=${kind%%,*}
            case ${line#*mName=} in 'TYPE_CPU,'*) kind=0 ;; 'TYPE_BATTERY,'*) kind=2 ;; 'TYPE_SKIN,'*) kind=3 ;; esac
            line=${line#*mValue=}
            to_milli "${line%%,*}" || continue
            case $kind in
            0) higher "$CPU" && CPU=$MILLI ;;
            3) higher "$SKIN" && SKIN=$MILLI ;;
            esac
            ;;
        esac
    done <"$out"
    rm -f "$out"
    [ -z "$override" ] || STATUS=
}

# STATUS, SKIN and CPU (hottest, m°C); empty is unknown.
read_heat() {
    STATUS=
    # shellcheck disable=SC2086
    hottest $CPU_PATHS
    CPU=$HOTTEST
    # shellcheck disable=SC2086
    hottest $SKIN_PATHS
    SKIN=$HOTTEST
    read_thermal_service
    uptime_now
    HEAT="\"t_ms\":$UP_MS,\"status\":${STATUS:-null},\"skin_milli\":${SKIN:-null},\"cpu_milli\":${CPU:-null}"
}
