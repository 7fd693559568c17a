# ---- cores: which are little, as parsers/cpus.py tells them apart

MACHINE=$SYSROOT/proc/cpuinfo
CPUS=$SYSROOT/sys/devices/system/cpu

# KIND of CPU $1 by cpuinfo: IMPLEMENTER:PART, empty where it is not told.
kind_of() {
    local key rest cpu='' maker=''
    KIND=
    while read -r key rest; do
        case $key:$rest in
        processor:*) cpu=${rest##* } ;;
        CPU:implementer*) maker=${rest##* } ;;
        CPU:part*) [ "$cpu" != "$1" ] || KIND=$maker:${rest##* } ;;
        esac
    done <"$MACHINE"
}

top_clock() {
    local path
    TOP=0
    for path in "$CPUS"/cpu[0-9]*; do
        first_line "$path/cpufreq/cpuinfo_max_freq" && is_number "$LINE" && [ "$LINE" -gt "$TOP" ] && TOP=$LINE
    done
}

# By make; else below half of the largest capacity; else below 0.7 of the highest clock.
is_little() {
    kind_of "$1"
    case " $LITTLE_PARTS " in *" $KIND "*) return 0 ;; esac
    case " $KNOWN_PARTS " in *" $KIND "*) return 1 ;; esac
    if first_line "$CPUS/cpu$1/cpu_capacity" && is_number "$LINE"; then
        [ "$LINE" -lt 512 ]
    else
        first_line "$CPUS/cpu$1/cpufreq/cpuinfo_max_freq" && is_number "$LINE" && [ $((LINE * 10)) -lt $((TOP * 7)) ]
    fi
}

# USED and LITTLES, lists of CPUs, for an affinity of `all`, `big` or a list of numbers.
find_cores() {
    local path cpu every='' big=''
    LITTLES=
    top_clock
    for path in "$CPUS"/cpu[0-9]*; do
        cpu=${path##*/cpu}
        is_number "$cpu" || continue
        every="$every $cpu"
        if is_little "$cpu"; then LITTLES="$LITTLES $cpu"; else big="$big $cpu"; fi
    done
    case $1 in
    all) USED=$every ;;
    big) USED=${big:-$every} ;;
    *) USED=$1 ;;
    esac
}

count() { COUNT=$#; }

# MASK of the CPUs $1…, hexadecimal.
mask_of() {
    local cpu nibble digit bit most=0
    MASK=
    for cpu in "$@"; do [ "$cpu" -le "$most" ] || most=$cpu; done
    nibble=$((most / 4))
    while [ $nibble -ge 0 ]; do
        digit=0 bit=1
        for cpu in $((nibble * 4)) $((nibble * 4 + 1)) $((nibble * 4 + 2)) $((nibble * 4 + 3)); do
            case " $* " in *" $cpu "*) digit=$((digit + bit)) ;; esac
            bit=$((bit * 2))
        done
        case $digit in 10) digit=a ;; 11) digit=b ;; 12) digit=c ;; 13) digit=d ;; 14) digit=e ;; 15) digit=f ;; esac
        [ -z "$MASK" ] && [ "$digit" = 0 ] || MASK=$MASK$digit
        nibble=$((nibble - 1))
    done
}

# Whether every core has the features $1….
all_have() {
    local key rest feature seen=''
    while read -r key rest; do
        [ "$key" = Features ] || continue
        seen=1
        for feature in "$@"; do
            case " ${rest#:} " in *" $feature "*) ;; *) return 1 ;; esac
        done
    done <"$MACHINE"
    [ -n "$seen" ] || [ $# -eq 0 ]
}

# RUNNER and TARGET: the first line of runners.txt (the best guess first) that every core can run.
choose_runner() {
    local target needs
    RUNNER='' TARGET=''
    while read -r target needs; do
        # shellcheck disable=SC2086
        if all_have $needs; then
            TARGET=$target RUNNER=$BASE/runners/$target/bench-llama
            return 0
        fi
    done <"$BASE/runners.txt"
    return 1
}
