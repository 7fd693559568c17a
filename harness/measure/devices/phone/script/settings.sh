# ---- settings
# settings.saved holds what the phone had before; it is written before anything is changed and removed after
# everything is as it was. Whoever finds one restores it first: those are the phone's own values.

ask_setting() {
    VALUE=$(limited settings get "$1" "$2") || return 1
    case $VALUE in *'
'*) return 1 ;; esac
}

set_setting() {
    if [ "$3" = null ]; then
        limited settings delete "$1" "$2" >/dev/null
    else
        limited settings put "$1" "$2" "$3" >/dev/null
    fi
}

settings_save() {
    local kind space key value
    settings_restore || return 1
    {
        [ -z "$FIXED" ] || say fixed
        while read -r kind space key value; do
            if [ "$kind" = setting ] && ask_setting "$space" "$key"; then
                say "setting $space $key $VALUE"
            fi
        done <"$CONF"
        say end # fails where the disk is full: then nothing is changed
    } >"$SAVED.tmp" && mv -f "$SAVED.tmp" "$SAVED" || return 1
    limited sync # a phone that loses its power now must not lose them; one that is slow at it is not waited for
    return 0
}

# Only what was saved is changed. What came of it stands in JOB/settings.txt.
settings_apply() {
    local kind space key value before
    while read -r kind space key value; do
        case $kind in
        record)
            if ask_setting "$space" "$key"; then
                say "seen $space $key $VALUE"
            else
                say "unknown $space $key"
            fi
            ;;
        setting)
            before=$(saved_value "$space" "$key") || { say "unknown $space $key"; continue; }
            say "before $space $key $before"
            if ! set_setting "$space" "$key" "$value"; then
                say "refused $space $key"
            elif ask_setting "$space" "$key"; then
                say "after $space $key $VALUE"
                [ "$VALUE" = "$value" ] || say "wished $space $key $value"
            else
                say "unknown $space $key"
            fi
            ;;
        fixed_performance)
            if limited cmd power set-fixed-performance-mode-enabled true >/dev/null; then
                say "fixed on"
            else
                say "fixed refused"
                without_fixed
            fi
            ;;
        esac
    done <"$CONF" >"$1/settings.txt"
}

saved_value() {
    local kind space key value
    while read -r kind space key value; do
        [ "$kind $space $key" = "setting $1 $2" ] && say "$value" && return 0
    done <"$SAVED"
    return 1
}

without_fixed() {
    local line
    while read -r line; do
        [ "$line" = fixed ] || say "$line"
    done <"$SAVED" >"$SAVED.tmp" && mv -f "$SAVED.tmp" "$SAVED"
}

# RESTORED: none, yes, or failed; then the file stays for the next who tries.
settings_restore() {
    local kind space key value
    RESTORED=none
    [ -e "$SAVED" ] || return 0
    RESTORED=yes
    while read -r kind space key value; do
        case $kind in
        fixed) limited cmd power set-fixed-performance-mode-enabled false >/dev/null || not_restored 'fixed performance' ;;
        setting)
            ask_setting "$space" "$key" && [ "$VALUE" = "$value" ] && continue
            set_setting "$space" "$key" "$value" || not_restored "$space $key ($value)"
            ;;
        esac
    done <"$SAVED"
    [ $RESTORED != failed ] && rm -f "$SAVED"
}

not_restored() {
    RESTORED=failed
    echo "cannot put back the setting: $1" >&2
}
