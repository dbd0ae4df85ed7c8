#!/usr/bin/env bash
# Fuzzes one target, or each in turn, on the stable toolchain: fuzz/run.sh TARGET|all|build SECONDS [libFuzzer options]
# `build` only builds them.
#
# cargo-fuzz asks for a nightly compiler only for the sanitizers. The codec has no unsafe code, so what there is to
# find are panics, overflows, hangs and growth, and for these the coverage flags of a stable rustc are enough.
# `cargo fuzz run TARGET` works in this folder as well, where it is installed.
#
# Seeds are the golden documents and the inputs kept in codec/testdata/fuzz (src/bin/keep.rs renews them).
#
# A finding is left in fuzz/artifacts/TARGET/; run the target's binary on that file to see it again.
set -euo pipefail
cd "$(dirname "$0")"

targets="session container document json json_read roundtrip reader recovery"
usage="usage: fuzz/run.sh TARGET|all|build SECONDS [libFuzzer options]; targets: $targets"
target=${1:?$usage}
seconds=${2:?$usage}
shift 2
if [ "$target" != all ] && [ "$target" != build ]; then
    case " $targets " in *" $target "*) targets=$target ;; *) echo "$usage" >&2; exit 2 ;; esac
fi

host=$(rustc -vV | sed -n 's/^host: //p')
# With --target the flags do not reach build scripts and macros.
flags=(
    -Cpasses=sancov-module
    -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares
    -Cllvm-args=-simplifycfg-branch-fold-threshold=0
    -Ccodegen-units=1
    --cfg=fuzzing
)
build=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
bins=()
for name in $targets; do bins+=(--bin "$name"); done
# The seed maker is no target: it is built without the coverage runtime.
CARGO_TARGET_DIR=$build cargo build --release --locked --quiet --bin seeds
"$build/release/seeds" corpus/seeds
RUSTFLAGS="${flags[*]}" CARGO_TARGET_DIR=$build cargo build --release --locked --quiet --target "$host" "${bins[@]}"
[ "$target" != build ] || exit 0

for name in $targets; do
    mkdir -p "corpus/$name" "artifacts/$name"
    echo "fuzz $name: $seconds s"
    # Longest useful input: one message and a little of the next; two for the reader of files.
    len_max=34000
    [ "$name" = reader ] && len_max=66000
    log=artifacts/$name.log
    if ! "$build/$host/release/$name" -max_total_time="$seconds" -max_len=$len_max -timeout=10 -rss_limit_mb=1024 \
        -dict=corpus/seeds/words -artifact_prefix="artifacts/$name/" -print_final_stats=1 "$@" \
        "corpus/$name" "corpus/seeds/$name" >"$log" 2>&1; then
        tail -n 60 "$log" >&2
        echo "fuzz $name: a finding, see fuzz/artifacts/$name/" >&2
        exit 1
    fi
    grep -E '^(stat::number_of_executed_units|stat::peak_rss_mb)|DONE' "$log" || tail -n 3 "$log"
done
