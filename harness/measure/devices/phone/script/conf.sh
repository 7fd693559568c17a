# ---- what a job wishes

load_conf() {
    local key value
    CONF=$1/wrapper.conf
    OWNER='' EXPIRE_S=300 KEEP_S=0 LIMIT_TURNS=0 POLL_S=1 MASK='' LITTLE='' FIXED=''
    GATE='' LEAST_S=60 MOST_S=300 BLIND_S=180 STABLE_S=30 GATE_POLL_S=5
    SKIN_MOST=35000 SKIN_RISE=2000 SKIN_START='' CPU_MOST=45000 CPU_ZONES='' SKIN_ZONES=''
    SAMPLE_S='' STATUS_S=30 SETTINGS=''
    while read -r key value; do
        case $key in
        owner) OWNER=$value ;; expire_s) EXPIRE_S=$value ;; keep_s) KEEP_S=$value ;;
        limit_turns) LIMIT_TURNS=$value ;; poll_s) POLL_S=$value ;;
        mask) MASK=$value ;; little_mask) LITTLE=$value ;; fixed_performance) FIXED=$value SETTINGS=1 ;;
        setting | record) SETTINGS=1 ;;
        gate) GATE=$value ;; gate_least_s) LEAST_S=$value ;; gate_most_s) MOST_S=$value ;;
        gate_blind_s) BLIND_S=$value ;; gate_stable_s) STABLE_S=$value ;; gate_poll_s) GATE_POLL_S=$value ;;
        skin_most_milli) SKIN_MOST=$value ;; skin_rise_milli) SKIN_RISE=$value ;;
        skin_start_milli) SKIN_START=$value ;; cpu_most_milli) CPU_MOST=$value ;;
        cpu_zone) CPU_ZONES="$CPU_ZONES $value" ;; skin_zone) SKIN_ZONES="$SKIN_ZONES $value" ;;
        sample_s) SAMPLE_S=$value ;; status_s) STATUS_S=$value ;;
        esac
    done <"$CONF"
}
