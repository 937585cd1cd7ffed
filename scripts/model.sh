#!/usr/bin/env bash
# A long run of the model checker (storage/model): each scenario under N random schedules, and N that
# starve some thread (PCT); 100,000 unless said otherwise, where the ordinary tests take 1,000. Those
# that are tried exhaustively are so every time. Takes hours.
#
#   scripts/model.sh [N [TEST...]]      e.g. scripts/model.sh 20000 close ticker
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PONTOON_MODEL_ITERATIONS="${1:-100000}"
shift || true
tests=()
for test in "$@"; do tests+=(--test "$test"); done
cargo test --locked --all-features -p pontoon-storage-model "${tests[@]}" -- --nocapture
