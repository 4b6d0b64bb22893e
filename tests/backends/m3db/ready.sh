#!/usr/bin/env bash
# /health answers earlier, and /ready is 200 with `{}` while there is no namespace.
ready=$(curl -sf -m 2 "http://127.0.0.1:$PORT/ready") || exit 1
[[ $ready == *'"id":"default"'* && $ready == *'"id":"agg_1m"'* ]]
