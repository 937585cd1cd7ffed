#!/usr/bin/env bash
# Cuts the power of a disk in memory beneath a store, PONTOON_POWER_ROUNDS times (1000) for each engine and
# durability, redb with and without quick repair; and as often beneath redb's backend alone. Prints one line for
# each. PONTOON_POWER_SEED repeats a run. Needs /dev/fuse and the right to mount.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PONTOON_POWER_ROUNDS="${PONTOON_POWER_ROUNDS:-1000}" PONTOON_REQUIRE_FUSE=1
log="$(mktemp)"
trap 'rm -f "$log"' EXIT

run() {
  if ! cargo test --locked --all-features "$@" -- --nocapture >"$log" 2>&1; then
    tail -n 60 "$log" >&2
    echo "scripts/power.sh: failed" >&2
    exit 1
  fi
  grep '^power loss:' "$log"
}

run -p pontoon-storage --lib redb_power
run -p pontoon-faults --test power
