#!/usr/bin/env bash
# Makes the namespaces once the coordinator takes calls: `default`, which keeps 18 months in weeks, and `agg_1m`, of aggregated
# points, which the service must never take for stored ones.
set -euo pipefail
api=http://127.0.0.1:$PORT/api/v1
patiently() {
  for _ in $(seq 300); do
    "$@" && return
    sleep 0.2
  done
  echo "gave up: $*" >&2
  exit 1
}
# /health answers before the store of namespaces does.
patiently curl -sf -o /dev/null "$api/services/m3db/namespace"
curl -sf -o /dev/null "$api/database/create" -d '{
  "type": "local", "namespaceName": "default", "retentionTime": "13200h", "blockSize": {"time": "168h"}, "numShards": "4"}'
curl -sf -o /dev/null "$api/services/m3db/namespace" -d '{
  "name": "agg_1m",
  "options": {
    "bootstrapEnabled": true, "flushEnabled": true, "writesToCommitLog": true, "cleanupEnabled": true,
    "snapshotEnabled": true, "repairEnabled": false, "coldWritesEnabled": true,
    "retentionOptions": {
      "retentionPeriodDuration": "17520h", "blockSizeDuration": "168h",
      "bufferFutureDuration": "10m", "bufferPastDuration": "10m",
      "blockDataExpiry": true, "blockDataExpiryAfterNotAccessPeriodDuration": "5m"
    },
    "indexOptions": {"enabled": true, "blockSizeDuration": "168h"},
    "aggregationOptions": {"aggregations": [{"aggregated": true, "attributes": {
      "resolutionDuration": "1m", "downsampleOptions": {"all": false}}}]}
  }}'
for namespace in default agg_1m; do
  ready() { curl -s "$api/services/m3db/namespace/ready" -d "{\"name\": \"$namespace\"}" | grep -q '"ready":true'; }
  patiently ready
done
