#!/usr/bin/env bash
# Fetches KairosDB 1.3.0-1 and what it needs from the Maven repository into $INSTALL, once.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ -f "$INSTALL/lib/kairosdb-1.3.0-1.jar" ] && exit 0
need java openjdk-17-jre-headless
need mvn maven
mvn -B -q -f "$here/pom.xml" -Dlibraries="$INSTALL/lib" generate-resources
