#!/usr/bin/env bash
# Builds M3DB 1.5.0 from its Go module into $INSTALL, once: about four minutes.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# The name changes with what it was built from.
node=$INSTALL/m3dbnode-$(cat "$here"/main.go "$here"/go.mod "$here"/go.sum | sha256sum | cut -c1-16)
[ -x "$node" ] && ln -sf "$node" "$INSTALL/m3dbnode" && exit 0
need go golang-go
cd "$here"
go build -trimpath -ldflags="-s -w" -o "$node.part" .
mv "$node.part" "$node"
ln -sf "$node" "$INSTALL/m3dbnode"
