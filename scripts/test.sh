#!/usr/bin/env bash
# Everything that must hold before a change lands: formatting, lints, docs, and every test with every
# feature. Needs cargo (rustup), gcc and g++; installs libclang, which RocksDB's bindings need, where
# it can. RocksDB is compiled once, which takes ten minutes or more on a small machine, and kept in
# CARGO_TARGET_DIR (default: a cache folder under $HOME).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/pontoon-target}"
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-never}"

step() { printf '\n== %s\n' "$*"; }

# bindgen wants libclang itself and the headers that come with it.
have_libclang() {
  any_file "${LIBCLANG_PATH:-/nonexistent}"/libclang[.-]*so* /usr/lib/llvm*/lib/libclang[.-]*so* \
    /usr/lib/*/libclang[.-]*so* /usr/lib64/libclang.so* /usr/local/lib/libclang.so* &&
    any_file /usr/lib/llvm*/lib/clang/*/include/stddef.h /usr/lib/clang/*/include/stddef.h \
      /usr/lib64/clang/*/include/stddef.h /usr/local/lib/clang/*/include/stddef.h
}

any_file() {
  local file
  for file in "$@"; do
    [ -e "$file" ] && case "$file" in *libclang-cpp*) ;; *) return 0 ;; esac
  done
  return 1
}

install_libclang() {
  local sudo=()
  [ "$(id -u)" = 0 ] || sudo=(sudo -n)
  command -v apt-get >/dev/null || return 1
  "${sudo[@]}" apt-get update -qq && "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends libclang-dev >/dev/null
}

for tool in cargo gcc g++; do
  command -v "$tool" >/dev/null || {
    echo "scripts/test.sh: '$tool' is missing. Install Rust with rustup, and gcc and g++ with your package manager." >&2
    exit 1
  }
done
if ! have_libclang; then
  step "installing libclang"
  install_libclang && have_libclang || {
    echo "scripts/test.sh: RocksDB's bindings need libclang and its headers, and installing them with apt-get" >&2
    echo "did not work. Install them (Debian, Ubuntu: libclang-dev; Fedora: clang-devel) and run this again." >&2
    exit 1
  }
fi

step "format"
cargo fmt --all --check

step "lints, every feature"
cargo clippy --locked --workspace --all-targets --all-features -- -D warnings

for features in "" redb rocksdb; do
  step "lints, features: ${features:-none}"
  cargo clippy --locked --workspace --all-targets --no-default-features --features "$features" -- -D warnings
done

step "licenses, versions and sources of dependencies"
if cargo deny --version >/dev/null 2>&1; then
  scripts/deny.sh
else
  echo "skipped: cargo-deny is not installed (cargo install cargo-deny --locked)"
fi

step "docs"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --all-features

step "tests, every feature"
cargo test --locked --workspace --all-features

printf '\nall checks passed\n'
