#!/bin/sh
# Plants every bug of tests/planted.rs in turn and demands that the simulation finds it. For CI, under three minutes on
# two cores: `OFD_PLANTED_STARTS=1 storage/tests/planted.sh`. One bug alone: `OFD_PLANTED=<n>`. With `OFD_PLANTED_ARCHIVE=1`
# the one in compaction as well, which takes minutes to build.
set -eu
cd "$(dirname "$0")/../.."
RUSTC_WORKSPACE_WRAPPER="$PWD/storage/tests/planted-rustc.sh"
export RUSTC_WORKSPACE_WRAPPER
if [ "${OFD_PLANTED_ARCHIVE:-0}" = 1 ]; then
    cargo test --release --locked -p ofd-storage --features testing --test retain -- planted
fi
exec cargo test --release --locked -p ofd-storage \
    --no-default-features --features testing --test planted --test faults -- --nocapture planted
