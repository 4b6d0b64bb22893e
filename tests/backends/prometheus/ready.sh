#!/usr/bin/env bash
curl -sf -m 2 -o /dev/null "http://127.0.0.1:$PORT/-/ready"
