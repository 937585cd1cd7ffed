#!/usr/bin/env bash
# Checks every package's license, that no two versions of a crate are built without a reason, and where
# crates come from (deny.toml); with `advisories`, also the RustSec database, which it fetches.
#
#   scripts/deny.sh [advisories]
#
# Needs cargo-deny: cargo install cargo-deny --locked
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo deny --version >/dev/null 2>&1 || {
  echo "scripts/deny.sh: cargo-deny is missing: cargo install cargo-deny --locked" >&2
  exit 1
}
checks=(licenses bans sources)
[ "${1:-}" = advisories ] && checks+=(advisories)
cargo deny --locked --workspace --all-features check "${checks[@]}"
