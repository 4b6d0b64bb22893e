#!/usr/bin/env bash
# Fetches Elasticsearch 8.19.21 from the Maven repository into $INSTALL, once.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ -f "$INSTALL/installed" ] && exit 0
need java openjdk-17-jre-headless
need mvn maven
need setpriv util-linux
mvn -B -q -f "$here/pom.xml" -Ddistribution="$INSTALL" generate-resources
touch "$INSTALL/installed"
