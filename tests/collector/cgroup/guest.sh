# Runs inside the cgroup v2 guest: a real container, made busy, paused, and read by our reader.
# $1: the folder with guest-docker.sh; $2: the interpreter with our libraries; the working directory is the project.
set -e
. "$1/guest-docker.sh"
start_docker
make_image lab/busybox:1
docker() { /usr/bin/docker -H unix:///run/docker.sock "$@"; }
id=$(docker run -d --memory 64m --cpus 0.3 --pids-limit 40 --cpu-shares 512 -v /var/lib/docker/tmp:/data lab/busybox:1 \
    sh -c 'dd if=/dev/zero of=/data/x bs=64k count=16 oflag=direct; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo > /ready; sleep 600')
for i in $(seq 300); do docker exec "$id" ls /ready > /dev/null 2>&1 && break; sleep 0.5; done
docker exec "$id" dd if=/dev/zero of=/dev/null bs=100M count=1 2> /dev/null && echo "the hog was not killed"
docker pause "$id" > /dev/null
sleep 1
api "/containers/$id/stats?stream=false&one-shot=1" > /run/stats.json
api "/containers/$id/json" > /run/inspect.json
"$2" -B -m tests.collector.cgroup.guest /run/stats.json /run/inspect.json
