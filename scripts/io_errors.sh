#!/usr/bin/env bash
# Makes system calls fail under each engine and durability, at so many random points for each (default 300),
# and prints what was tried and what came of it. Takes half an hour or more. Needs strace.
#
#   scripts/io_errors.sh [POINTS]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/pontoon-target}"
export PONTOON_IO_ROUNDS="${1:-300}" PONTOON_REQUIRE_STRACE=1

cargo test --locked -p pontoon-storage --all-features --test failing_calls -- --nocapture --test-threads=1 |
  grep -v '^round '
