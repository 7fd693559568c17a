#!/system/bin/sh
# Measures on this phone what lies beside it, without a computer. `sh bench-bundle/run.sh`; see docs/phones.md.
# Unpacking again must not touch what runs: the payload is moved to its own place once, by one rename.
set -u

main() {
    local here="${0%/*}" root=${BENCH_ROOT:-/data/local/tmp/bench} id base
    [ "$here" != "$0" ] || here=.
    cd "$here" || exit 1
    read -r id <id || { echo "no file named id beside run.sh: unpack the archive again"; exit 2; }
    base=$root/bundles/$id
    [ ! -e "$base/damaged" ] || rm -rf "$base"
    if [ ! -d "$base" ]; then
        [ -d payload ] || { echo "nothing is unpacked here: tar xf bench-bundle.tar"; exit 2; }
        # The last file of the archive.
        [ -e payload/bundle.sums ] || { echo "the archive is not whole: copy and unpack it again"; exit 2; }
        mkdir -p "$root/bundles" && mv payload "$base" || exit 1
    fi
    rm -rf payload
    cd .. || exit 1
    RESULT=${BENCH_RESULT:-$PWD/bench-result.tar} && export RESULT
    AGAIN="sh $PWD/${here##*/}/run.sh" && export AGAIN
    BENCH_ROOT=$root && export BENCH_ROOT
    exec "${BENCH_SH:-sh}" "$base/drive.sh" "${1-run}"
}

main "$@"
