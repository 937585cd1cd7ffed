#!/usr/bin/env bash
# Runs the storage crate's tests over the memory engine under ThreadSanitizer. The standard library must be
# built with it too (-Zbuild-std): its locks and channels are compiled already, where the sanitizer
# cannot see them, and everything that they guard then looks like a race.
#
#   scripts/tsan.sh [TEST...]      e.g. scripts/tsan.sh conformance cache
#
# Needs a nightly toolchain with rust-src: rustup component add rust-src --toolchain nightly
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
toolchain="${PONTOON_TSAN_TOOLCHAIN:-nightly}"
host="$(rustc +"$toolchain" -vV | sed -n 's/^host: //p')"
[ -e "$(rustc +"$toolchain" --print sysroot)/lib/rustlib/src/rust/library/Cargo.lock" ] || {
  echo "scripts/tsan.sh: rust-src is missing: rustup component add rust-src --toolchain $toolchain" >&2
  exit 1
}
cache="${XDG_CACHE_HOME:-$HOME/.cache}"
export CARGO_TARGET_DIR="${PONTOON_TSAN_TARGET_DIR:-$cache/pontoon-tsan-target}"
export RUSTFLAGS="-Zsanitizer=thread"
export TSAN_OPTIONS="${TSAN_OPTIONS:-halt_on_error=0 second_deadlock_stack=1}"
tests=(--lib)
[ "$#" -eq 0 ] && set -- cache conformance guarantees model own_threads runtime_facts
for test in "$@"; do tests+=(--test "$test"); done
cargo +"$toolchain" test --locked -Zbuild-std --target "$host" -p pontoon-storage --no-default-features "${tests[@]}"
