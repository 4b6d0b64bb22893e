#!/usr/bin/env bash
# Runs one M3DB node with its coordinator and etcd, on loopback, in the foreground. $PORT, $RUN (an empty folder) and $INSTALL
# are given. Its database is made beside it as soon as it answers; ready.sh says when that can be read and written.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
read -r METRICS TCHANNEL CLUSTER NODE_HTTP CLUSTER_HTTP DEBUG ETCD ETCD_PEER < <(free_ports 8)
export M3_API_PORT=$PORT M3_DATA=$RUN/data
export M3_METRICS_PORT=$METRICS M3_TCHANNEL_PORT=$TCHANNEL M3_CLUSTER_PORT=$CLUSTER M3_NODE_HTTP_PORT=$NODE_HTTP
export M3_CLUSTER_HTTP_PORT=$CLUSTER_HTTP M3_DEBUG_PORT=$DEBUG M3_ETCD_PORT=$ETCD M3_ETCD_PEER_PORT=$ETCD_PEER
ulimit -n "$(ulimit -Hn)" || true
mkdir -p "$M3_DATA"
bash "$here/database.sh" &
exec "$INSTALL/m3dbnode" -f "$here/m3.yml"
