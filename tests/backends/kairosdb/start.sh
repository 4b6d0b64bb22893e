#!/usr/bin/env bash
# Runs KairosDB on its H2 datastore, on loopback, in the foreground. $PORT, $RUN (an empty folder) and $INSTALL are given.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export KAIROS_PORT=$PORT KAIROS_RUN=$RUN
# KairosDB writes beside its configuration, so that it gets a copy. $RUN/h2 must not exist: it makes its tables only then.
mkdir -p "$RUN/conf" "$RUN/webroot" "$RUN/cache"
cp "$here/kairosdb.conf" "$RUN/conf/"
cd "$RUN"
# Without java.util opened, group_by answers 500 on Java 17.
exec java -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
  --add-opens=java.base/java.lang=ALL-UNNAMED --add-opens=java.base/java.util=ALL-UNNAMED \
  -Djava.io.tmpdir="$RUN" -Dlogback.configurationFile="$here/logback.xml" \
  -cp "$INSTALL/lib/*" org.kairosdb.core.Main -c run -p "$RUN/conf/kairosdb.conf"
