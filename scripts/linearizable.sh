#!/usr/bin/env bash
# Takes histories of concurrent clients of stores that are closed, killed and opened again, and checks
# that each could have come from clients that took turns: `scripts/linearizable.sh [ROUNDS]`, so many
# histories (default 30) of each setup. PONTOON_LINEARIZABLE_SEED repeats the operations of a run.
# Writes nothing into the checkout.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/pontoon-target}"
export PONTOON_LINEARIZABLE_ROUNDS="${1:-30}"

log="$(mktemp)"
if ! cargo test --locked -p pontoon-storage --all-features --test linearizable -- --nocapture >"$log" 2>&1; then
  echo "failed; all that was printed is in $log, the end of it:" >&2
  grep -E -A 3 'panicked|^error' "$log" >&2 || tail -n 20 "$log" >&2
  exit 1
fi
grep -E '^result: |^test result' "$log"
rm -f "$log"
