#!/usr/bin/env bash
# Fuzzes each target (storage/fuzz) for SECONDS, ten minutes unless said otherwise, as many at once as
# there are CPUs. Stops with an error when a target finds something: make it a test, and fix it.
#
#   scripts/fuzz.sh [SECONDS [TARGET...]]     an hour each: scripts/fuzz.sh 3600
#
# Needs a nightly toolchain and cargo-fuzz (cargo install cargo-fuzz). What was found worth keeping, and
# the inputs that broke something, are kept outside the checkout, in PONTOON_FUZZ_DIR.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../storage/fuzz"

seconds="${1:-600}"
shift || true
cache="${XDG_CACHE_HOME:-$HOME/.cache}"
kept="${PONTOON_FUZZ_DIR:-$cache/pontoon-fuzz}"
export CARGO_TARGET_DIR="${PONTOON_FUZZ_TARGET_DIR:-$cache/pontoon-fuzz-target}"
toolchain="${PONTOON_FUZZ_TOOLCHAIN:-nightly}"

for tool in "rustc +$toolchain --version" "cargo fuzz --version"; do
  $tool >/dev/null 2>&1 || {
    echo "scripts/fuzz.sh: '$tool' does not work: install a nightly toolchain and cargo-fuzz" >&2
    exit 1
  }
done

targets=("$@")
[ "${#targets[@]}" -gt 0 ] || mapfile -t targets < <(cargo +"$toolchain" fuzz list --fuzz-dir .)
cargo +"$toolchain" fuzz build --fuzz-dir .

fuzz() {
  local target="$1"
  mkdir -p "$kept/corpus/$target" "$kept/artifacts/$target"
  if cargo +"$toolchain" fuzz run --fuzz-dir . "$target" "$kept/corpus/$target" -- \
    -max_total_time="$seconds" -timeout=20 -rss_limit_mb=1024 -print_final_stats=1 \
    -artifact_prefix="$kept/artifacts/$target/" >"$kept/$target.log" 2>&1; then
    echo "$target: nothing found; $(grep -E 'Done [0-9]+ runs' "$kept/$target.log" || true)" \
      "$(grep -oE 'cov: [0-9]+ ft: [0-9]+' "$kept/$target.log" | tail -1)"
  else
    echo "$target: see $kept/$target.log and $kept/artifacts/$target" >&2
    return 1
  fi
}
export -f fuzz
export kept seconds toolchain
printf '%s\n' "${targets[@]}" | xargs -P "${PONTOON_FUZZ_JOBS:-$(nproc)}" -I{} bash -euo pipefail -c 'fuzz {}'
