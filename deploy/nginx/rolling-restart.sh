#!/bin/sh
# Restarts the API processes of this machine one after the other without losing a request: nginx stops using one, which
# then drains and restarts; when it is ready, nginx uses it again.
#
#   deploy/nginx/rolling-restart.sh 3001 3002
set -eu

site=${SITE:-/etc/nginx/conf.d/402pay.conf}
pause_seconds=${PAUSE_SECONDS:-2}
ready_seconds=60

fail() {
  echo "error: $1" >&2
  exit 1
}

[ $# -ge 2 ] || fail "one process alone cannot be replaced unnoticed; give the ports of two or more."
for port in "$@"; do
  grep -q "server 127\.0\.0\.1:$port " "$site" || fail "$site has no server 127.0.0.1:$port; give the ports that stand there."
done

for port in "$@"; do
  sed -i "s/^\( *server 127\.0\.0\.1:$port .*\);/\1 down;/" "$site"
  nginx -s reload
  # The old nginx workers still pass requests on until they have ended.
  sleep "$pause_seconds"
  systemctl restart "pay402-api@$port"
  waited=0
  until curl --silent --fail --output /dev/null --max-time 2 "http://127.0.0.1:$port/ready"; do
    waited=$((waited + 1))
    [ "$waited" -lt "$ready_seconds" ] || fail "the process on $port is not ready, and is left out of nginx; see journalctl -u pay402-api@$port."
    sleep 1
  done
  sed -i "s/^\( *server 127\.0\.0\.1:$port .*\) down;/\1;/" "$site"
  nginx -s reload
  echo "$port restarted"
done
