# One word for each thing one does here; `.ci/run` is the whole of it from a clean clone.

_list:
    @just --list --unsorted

# Format, lints and generated files, as CI wants them.
check:
    cargo fmt --all --check
    cargo clippy --all-targets --features everything -- -D warnings
    cargo run --quiet -p ofd-dictgen -- --check

# All tests of the workspace. With OFD_FACTS=<folder> also those that need real documents.
test:
    cargo test --features everything

# The crate of SQL, its command and the benchmarks, which compile DataFusion: up to twenty minutes the first time on two cores.
sql:
    cargo clippy --workspace --all-targets --all-features -- -D warnings
    cargo test --release -p ofd-sql -p ofd-bench --lib --test isolation --test limits --test union --test views
    cargo test --release -p ofd-bench
    cargo build --release -p ofd-engine --features full --bin ofd
    OFD_SQL_TOOL="${CARGO_TARGET_DIR:-$PWD/target}/release/ofd" cargo test --features everything --test tool sql

# The log on a disk that lies. `OFD_SEED=…` replays one seed, `OFD_SIM_SECONDS=…` adds fresh ones for so long.
sim:
    cargo test --release -p ofd-storage --no-default-features --features testing --test sim

# Power cuts of the log on real ext4; needs root, FUSE and loop devices, and says so where they are missing.
powercut cuts="5000" seed="1":
    cargo run --release -p ofd-powercut -- --cuts {{cuts}} --seed {{seed}}

# A sector that cannot be read, under every way of reading the log and under the tool. Needs root.
bad-sector:
    cargo build --release -p ofd-engine --features tool --bin ofd
    cargo run --release -p ofd-powercut -- --bad-sector --ofd target/release/ofd

# Every system call of a run of 200 documents fails, lies or is the last, one after another. Needs strace; 10 minutes.
sweep every="1":
    OFD_SWEEP_EVERY={{every}} cargo test --release -p ofd-engine --test faults sweep -- --nocapture

# Disks that fill up and come free under the running engine. Needs root.
full-disk fills="100":
    OFD_FILLS={{fills}} cargo test --release -p ofd-engine --test faults full_disk -- --nocapture --test-threads 1

# kill -9 and restart.
kills kills="1000":
    OFD_KILLS={{kills}} cargo test --release -p ofd-engine --test faults kills -- --nocapture

# The whole engine in one thread, with registers, a network and a crypto module around it: `OFD_SEED=…`, `OFD_SIM_SECONDS=…`.
sim-engine:
    cargo test --release -p ofd-engine --no-default-features --features testing --test sim

# Bugs put in on purpose: the simulation of the engine must find each. Builds all in a folder of its own.
planted-engine:
    RUSTFLAGS="--cfg ofd_planted" CARGO_TARGET_DIR=target/planted cargo test --release -p ofd-engine \
        --no-default-features --features testing --test sim every_planted -- --nocapture

# Fuzz one target, or `all` in turn, for some seconds each.
fuzz target="all" seconds="60":
    fuzz/run.sh {{target}} {{seconds}}

# Figures, each beside its floor in the same run: codec, log, lane, server, parquet, query or all.
bench name="all":
    cargo run --release -p ofd-bench -- {{name}} --json

# Everything that is measured, a line a figure; OFD_BIG=<folder> adds the large log.
figures:
    cargo run --release -p ofd-bench -- all --json
    cargo run --release --manifest-path bench/rivals/Cargo.toml -- --json
    if [ -n "${OFD_BIG:-}" ]; then cargo run --release -p ofd-bench -- big --big "$OFD_BIG" --json; fi

# Our log beside okaywal, fjall, redb and LMDB.
rivals:
    cargo run --release --manifest-path bench/rivals/Cargo.toml -- --json

# Our codec beside rkyv, prost and sonic-rs; `--real FILE` mixes real receipts in.
codecs *args:
    cargo run --release --manifest-path bench/codecs/Cargo.toml -- --json {{args}}

# The codec under Criterion, with ratios against the plain walk at the end; OFD_FACTS=<folder> mixes real receipts in.
speed *args:
    cargo bench --manifest-path bench/codecs/Cargo.toml --bench speed -- {{args}}

# Instructions of the codec beside those written down. Needs valgrind; BLESS=1 writes them anew.
instructions:
    python3 .ci/instructions.py

# The snippets of docs/analytics.md with every tool, PySpark too. Needs what .ci/requirements*.txt name, and Java 17.
analytics ofd="target/release/ofd":
    python3 .ci/analytics.py {{ofd}}

# Bytes a document in each table of a compacted data directory, beside DuckDB's and Polars' files of the same rows.
sizes dir *args:
    python3 bench/sizes.py {{dir}} {{args}}

# Write the files that are generated from codec/dictionary/, and the tables of docs/analytics.md.
gen:
    cargo run -p ofd-dictgen
    BLESS=1 cargo test -p ofd-storage --test analytics

# Everything CI does.
ci:
    bash .ci/run

# What so many documents add up to, by a plain fold over the log, the tables, the live figures and DuckDB; the files stay in DIR.
one-truth documents dir:
    OFD_ONE_TRUTH={{documents}} OFD_ONE_TRUTH_DIR={{dir}} cargo test --release -p ofd-engine --features testing,control --test one_truth -- --nocapture
    python3 .ci/one_truth.py {{dir}}
