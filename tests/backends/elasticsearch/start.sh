#!/usr/bin/env bash
# Runs one Elasticsearch node on loopback, in the foreground. $PORT, $RUN (an empty folder) and $INSTALL are given.
set -euo pipefail
home=$INSTALL/elasticsearch-8.19.21
java=$(dirname "$(dirname "$(readlink -f "$(command -v java)")")")

# Elasticsearch refuses to run as root, and nobody may enter what only root may: then both go to a folder that all may enter.
as=()
if [ "$(id -u)" = 0 ]; then
  as=(setpriv --reuid=nobody --regid=nogroup --clear-groups)
  if ! "${as[@]}" test -r "$home/lib" -a -x "$RUN"; then
    RUN=$(mktemp -d)
    trap 'rm -rf "$RUN"' EXIT
    chmod 755 "$RUN"
    cp -r "$home" "$RUN/home"
    chmod -R go+rX "$RUN/home"
    home=$RUN/home
  fi
fi

mkdir -p "$RUN"/{config/jvm.options.d,data,logs,tmp}
cp "$home/config/log4j2.properties" "$RUN/config/"
# Nothing is written beside the distribution, and no log of the garbage collector.
sed -E '/-Xlog|-Xloggc/d; s#=(data|logs/)#='"$RUN"'/\1#' "$home/config/jvm.options" >"$RUN/config/jvm.options"
printf '%s\n' -Xms512m -Xmx512m -XX:-AlwaysPreTouch >"$RUN/config/jvm.options.d/tests.options"
cat >"$RUN/config/elasticsearch.yml" <<YML
cluster.name: tests
path.data: $RUN/data
path.logs: $RUN/logs
network.host: 127.0.0.1
http.port: $PORT
transport.port: 0
discovery.type: single-node
xpack.security.enabled: false
cluster.routing.allocation.disk.threshold_enabled: false
YML
[ ${#as[@]} = 0 ] || chown -R nobody:nogroup "$RUN"/{config,data,logs,tmp}

# Waited for, so that what was copied is removed; nothing of the node is worth an orderly end.
env -i PATH="$PATH" HOME="$RUN" LANG=C.UTF-8 ES_JAVA_HOME="$java" ES_PATH_CONF="$RUN/config" ES_TMPDIR="$RUN/tmp" \
  "${as[@]}" bash "$home/bin/elasticsearch" &
node=$!
trap 'pkill -KILL -P "$node" || true; kill -KILL "$node" || true; exit 143' TERM INT HUP
wait "$node"
