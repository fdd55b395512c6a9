#!/bin/sh
# Puts relink.js, relink.wasm and wasm_exec.js into a directory: ./build.sh DIR [-c]
# With -c also compressed, as a web server can hand it out.
set -eu
[ $# -ge 1 ] || { echo "usage: $0 DIR [-c]" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")"
GOOS=js GOARCH=wasm go build -trimpath -ldflags='-s -w' -o "$out/relink.wasm" .
cp relink.js relink.d.ts "$out/"
cp "$(go env GOROOT)/lib/wasm/wasm_exec.js" "$out/"
if [ "${2:-}" = -c ]; then
  gzip -9 -kf "$out/relink.wasm"
fi
