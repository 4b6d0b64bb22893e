#!/usr/bin/env bash
# Prometheus is Debian's package. Its service is not wanted.
set -euo pipefail
command -v prometheus >/dev/null && exit 0
need prometheus prometheus
if command -v systemctl >/dev/null; then
  systemctl disable --now prometheus.service || true
fi
