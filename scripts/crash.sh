#!/usr/bin/env bash
# Kills processes in the middle of their work, and compares what is there afterwards with what was
# acknowledged: `scripts/crash.sh [ROUNDS [PHASE_ROUNDS]]`. ROUNDS (default 1,000) for each engine,
# bridge mode and durability; PHASE_ROUNDS (default a quarter of that) for each phase in which a kill
# may come: a recovery, a close, a checkpoint, the drop of a keyspace. One line of results for each.
# PONTOON_CRASH_SEED repeats the operations of a run. Writes nothing into the checkout.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/pontoon-target}"
export PONTOON_CRASH_ROUNDS="${1:-1000}"
export PONTOON_CRASH_PHASE_ROUNDS="${2:-$(((PONTOON_CRASH_ROUNDS + 3) / 4))}"

built="$(cargo test --locked -p pontoon-storage --all-features --test crash --no-run 2>&1)" || {
  echo "$built" >&2
  exit 1
}
# A copy, so that a build meanwhile changes nothing.
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cp "$(sed -n 's/.*Executable.*(\(.*\)).*/\1/p' <<<"$built")" "$work/crash"

failed=0
"$work/crash" --nocapture >"$work/log" 2>&1 &
running=$!
# Tells as it goes; `tail` ends with the run.
tail -n +1 -f --pid="$running" "$work/log" | grep --line-buffered -E '^result: |^test result' || true
wait "$running" || failed=$?
if [ "$failed" != 0 ]; then
  kept="$(mktemp)"
  cp "$work/log" "$kept"
  echo "failed; all that was printed is in $kept, its panics are:" >&2
  grep -A 3 panicked "$kept" >&2 || true
fi
exit "$failed"
