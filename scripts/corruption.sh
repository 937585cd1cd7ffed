#!/usr/bin/env bash
# Damages data files in thousands of places, for each engine closed and killed, and sums up what came of
# it. Usage: scripts/corruption.sh [TRIALS [SEED]] (default 5000 and 1, for each engine and state). A line for
# each trial goes to OUT.redb and OUT.rocksdb (OUT defaults to target/corruption in CARGO_TARGET_DIR's
# place). Works in memory where /dev/shm is there: it writes some megabytes for each trial.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/pontoon-target}"
export PONTOON_CORRUPTION_TRIALS="${1:-5000}" PONTOON_CORRUPTION_SEED="${2:-1}"
export PONTOON_CORRUPTION_LOG="${OUT:-$CARGO_TARGET_DIR/corruption}"
if [ -z "${TMPDIR:-}" ] && [ -w /dev/shm ]; then export TMPDIR=/dev/shm; fi

status=0
cargo test --locked -p pontoon-storage --all-features --test corruption -- --nocapture || status=$?
for engine in redb rocksdb; do
  printf '\n== %s: state, outcome, trials\n' "$engine"
  cut -d' ' -f1,3 "$PONTOON_CORRUPTION_LOG.$engine" | sort | uniq -c | awk '{ print $2, $3, $1 }'
done
exit "$status"
