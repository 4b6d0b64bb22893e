#!/usr/bin/env bash
# Runs Prometheus, on loopback, in the foreground. $PORT and $RUN (an empty folder) are given.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
exec prometheus --config.file="$here/prometheus.yml" --web.listen-address="127.0.0.1:$PORT" \
  --web.enable-remote-write-receiver \
  --storage.tsdb.path="$RUN/data" --storage.tsdb.retention.time=800d --log.level=warn
