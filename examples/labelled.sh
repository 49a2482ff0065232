#!/bin/sh
# A container whose labels say all that Taskscope should know. Needs an image with nc, such as busybox.
# Remove it again: docker rm -f hello
set -eu
docker run -d --name hello \
  --memory 32m \
  --label taskscope.app=greeter \
  --label taskscope.task_name=hello-1 \
  --label taskscope.health.type=tcp \
  --label taskscope.health.port=8080 \
  --label taskscope.health.interval_seconds=5 \
  "${IMAGE:-busybox}" \
  sh -c 'while true; do echo "level=info msg=\"waiting for a guest\""; echo hello | nc -l -p 8080; done'
