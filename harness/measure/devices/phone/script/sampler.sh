# ---- sampler

number_or_null() {
    case ${1#-} in '' | *[!0-9]*) NUMBER=null ;; *) NUMBER=$1 ;; esac
}

# Folders of the clocks, one a cluster; where the kernel has no policies, one a core.
find_clocks() {
    local folder found=''
    for folder in "$SYSROOT"/sys/devices/system/cpu/cpufreq/policy*; do
        [ -r "$folder/scaling_cur_freq" ] && found="$found $folder"
    done
    [ -n "$found" ] || for folder in "$SYSROOT"/sys/devices/system/cpu/cpu[0-9]*/cpufreq; do
        [ -r "$folder/scaling_cur_freq" ] && found="$found $folder"
    done
    CLOCKS=$found
}

# The column NAME of the files $2…, as a list.
column() {
    local name="$1" path
    COLUMN=
    shift
    for path in "$@"; do
        first_line "$path/$name"
        number_or_null "$LINE"
        COLUMN=$COLUMN,$NUMBER
    done
    COLUMN=${COLUMN#,}
}

# The words in the column's files, as JSON strings; what JSON would have to escape becomes _.
names() {
    local path
    COLUMN=
    for path in "$@"; do
        first_line "$path/type"
        case $LINE in '' | *[!A-Za-z0-9._:-]*) LINE=_ ;; esac
        COLUMN="$COLUMN,\"$LINE\""
    done
    COLUMN=${COLUMN#,}
}

clock_names() {
    local path
    COLUMN=
    for path in "$@"; do
        [ "${path##*/}" = cpufreq ] && path=${path%/cpufreq}
        COLUMN="$COLUMN,\"${path##*/}\""
    done
    COLUMN=${COLUMN#,}
}

# Level (%), temperature (0.1 °C), current (as the phone counts it) and whether a cable feeds it.
read_battery() {
    local folder=$SYSROOT/sys/class/power_supply/battery line out="$ROOT/battery.$$" level=null heat=null current=null fed=null
    column current_now "$folder" && current=$COLUMN
    if limited dumpsys battery >"$out"; then
        while read -r line; do
            case $line in
            'level: '*) number_or_null "${line#*: }" && level=$NUMBER ;;
            'temperature: '*) number_or_null "${line#*: }" && heat=$NUMBER ;;
            *' powered: true') fed=true ;;
            *' powered: false') [ $fed = null ] && fed=false ;;
            esac
        done <"$out"
    fi
    rm -f "$out"
    BATTERY="\"level\":$level,\"battery_deci\":$heat,\"current\":$current,\"powered\":$fed"
}

# Each line costs a few reads of small files. Asking the services starts programs and wakes the system: every
# STATUS_S seconds only.
sample() {
    local next line
    load_conf "$1"
    here_i_am "$1/run/sampler"
    find_zones
    find_clocks
    # shellcheck disable=SC2086
    {
        set -- "$1/rc" "$1/run" "$1/samples.jsonl"
        names $CPU_PATHS $SKIN_PATHS
        line="\"zones\":[$COLUMN]"
        clock_names $CLOCKS
        line="$line,\"clocks\":[$COLUMN]"
        column cpuinfo_max_freq $CLOCKS
        line="$line,\"top_khz\":[$COLUMN]"
        say "{\"boot_id\":\"$BOOT\",$line,\"period_s\":$SAMPLE_S}" >>"$3"
        uptime_now
        next=$UP_S
        while [ ! -e "$1" ] && somebody "$2"; do
            uptime_now
            line="\"t_ms\":$UP_MS"
            column temp $CPU_PATHS $SKIN_PATHS
            line="$line,\"zone\":[$COLUMN]"
            column scaling_cur_freq $CLOCKS
            line="$line,\"khz\":[$COLUMN]"
            column scaling_max_freq $CLOCKS
            line="$line,\"most_khz\":[$COLUMN]"
            if [ "$STATUS_S" -gt 0 ] && [ "$UP_S" -ge "$next" ]; then
                STATUS='' SKIN='' CPU=''
                read_thermal_service
                read_battery
                line="$line,\"status\":${STATUS:-null},\"skin_milli\":${SKIN:-null},\"cpu_milli\":${CPU:-null},$BATTERY"
                next=$((UP_S + STATUS_S))
            fi
            say "{$line}" >>"$3"
            sleep "$SAMPLE_S"
        done
    }
}

somebody() { alive "$1/runner" || alive "$1/supervisor" || alive "$1/guard"; }
