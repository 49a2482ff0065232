#!/usr/bin/env bash
# Sets up what the service tests need, as root on Debian: Docker Engine, Chromium, Elasticsearch,
# prometheus, promtool, amtool, a cgroup v2 guest. Idempotent; what it fetches is kept in the cache folder.
# Elsewhere it changes nothing and says what the tests will leave out. Never fails by itself: the
# tests decide (a missing service is a failure under CI=true, a named skip otherwise).
set -uo pipefail
cache=${TASKSCOPE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/taskscope}
shared=$(cd "$(dirname "$0")/../.." && pwd)/../shared
mkdir -p "$cache/bin" "$cache/log"
say() { printf 'services: %s\n' "$*"; }

if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null || [ "$(uname -s)" != Linux ]; then
  say "not root on Debian: nothing is installed; tests that need a missing service are left out"
  exit 0
fi

want=()
need() { command -v "$1" > /dev/null || want+=("${@:2}"); }
need dockerd docker.io iptables
[ -x /bin/busybox ] && ! ldd /bin/busybox > /dev/null 2>&1 || want+=(busybox-static)
need chromium chromium fonts-dejavu-core
need javac openjdk-17-jdk-headless
need mvn maven
need curl curl
need qemu-system-x86_64 qemu-system-x86 qemu-system-common
need xz xz-utils
need mke2fs e2fsprogs
if [ ${#want[@]} -gt 0 ]; then
  say "installing ${want[*]}"
  # a package must not start its daemon: the tests start what they need themselves
  policy=/usr/sbin/policy-rc.d; made=
  [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' > $policy; chmod 755 $policy; made=1; }
  { apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${want[@]}"; } \
    > "$cache/log/apt.log" 2>&1 || say "apt-get failed, see $cache/log/apt.log"
  [ -n "$made" ] && rm -f $policy
fi

go_tool() { # NAME PACKAGE@VERSION
  [ -x "$cache/bin/$1" ] && return
  command -v go > /dev/null || { say "no Go: $1 is left out"; return; }
  say "building $1 (once)"
  CGO_ENABLED=0 GOBIN="$cache/bin" nice go install -tags remove_all_sd "$2" > "$cache/log/$1.log" 2>&1 \
    || say "$1 could not be built, see $cache/log/$1.log"
}
go_tool prometheus github.com/prometheus/prometheus/cmd/prometheus@v0.316.0
go_tool promtool github.com/prometheus/prometheus/cmd/promtool@v0.316.0
go_tool amtool github.com/prometheus/alertmanager/cmd/amtool@v0.28.1

if ! docker info > /dev/null 2>&1; then
  if [ -S /var/run/docker.sock ] || ! command -v dockerd > /dev/null; then
    say "the Docker Engine does not answer"
  fi
  if command -v dockerd > /dev/null; then
    rm -f /var/run/docker.pid
    setsid nohup dockerd > "$cache/log/dockerd.log" 2>&1 < /dev/null &
    echo $! > "$cache/dockerd.pid"
    for _ in $(seq 60); do docker info > /dev/null 2>&1 && break; sleep 0.5; done
    docker info > /dev/null 2>&1 && say "Docker Engine started" || say "dockerd did not start, see $cache/log/dockerd.log"
  fi
fi

port=${TASKSCOPE_TEST_ES_PORT:-19200}
if ! curl -fs -o /dev/null "http://127.0.0.1:$port/_cluster/health"; then
  if [ -x "$shared/services/es8/start.sh" ] && command -v mvn > /dev/null; then
    # data of an earlier run is of no use and slows the start
    rm -rf "$cache/es8/home/data" "$cache/es8/home/logs"
    [ -e "$cache/es8/home/.ready" ] || say "fetching Elasticsearch (once)"
    HTTP_PORT=$port "$shared/services/es8/start.sh" "$cache/es8" > "$cache/log/es.log" 2>&1 < /dev/null \
      && cp "$cache/es8/pid" "$cache/es.pid" && say "Elasticsearch answers on port $port" || say "Elasticsearch did not start, see $cache/log/es.log"
  else
    say "no ../shared: Elasticsearch is left out"
  fi
fi

if [ ! -e "$cache/cg2/initrd.img" ] && [ -x "$shared/services/cgroup2-vm/prepare.sh" ] && command -v qemu-system-x86_64 > /dev/null; then
  say "preparing the cgroup v2 guest (once)"
  { ls /var/lib/apt/lists/*Packages* > /dev/null 2>&1 || apt-get update -qq
    mkdir -p "$cache/cg2"; CG2_HOME="$cache/cg2" "$shared/services/cgroup2-vm/prepare.sh"; } > "$cache/log/cg2.log" 2>&1 \
    || say "the guest could not be prepared, see $cache/log/cg2.log"
fi
exit 0
