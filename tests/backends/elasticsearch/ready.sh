#!/usr/bin/env bash
# The test distribution has no GET /.
curl -sf -m 2 -o /dev/null "http://127.0.0.1:$PORT/_cluster/health?wait_for_status=yellow&timeout=1s"
