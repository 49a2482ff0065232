#!/usr/bin/env bash
# Stops what setup.sh started, by its process id.
cache=${TASKSCOPE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/taskscope}
for file in "$cache/dockerd.pid" "$cache/es.pid"; do
  [ -e "$file" ] && kill "$(cat "$file")" 2> /dev/null
  rm -f "$file"
done
exit 0
