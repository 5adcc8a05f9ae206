#!/usr/bin/env bash
# Builds the native module and puts it beside the package, for work on the tree itself.
set -euo pipefail
cd "$(dirname "$0")"
cargo build --release --features extension-module
# Renamed into place: a process may have the old one open.
cp target/release/lib_native.so dbs/.native.new
mv dbs/.native.new dbs/_native.abi3.so
