#!/usr/bin/env bash
# A RabbitMQ to measure against, on 127.0.0.1:5673 (guest/guest), in a folder of its own.
#
#   rabbitmq.sh start   installs it when missing (Debian), starts it, waits until it answers
#   rabbitmq.sh stop    stops it and removes its folder
#   rabbitmq.sh kill    SIGKILL, and starts it again with what it has on its disk
#
# RABBITMQ_YARDSTICK_PORT chooses another port, and with RABBITMQ_YARDSTICK_MANAGEMENT its management
# plugin listens on that one. RABBITMQ_YARDSTICK_PLUGINS names further plugins, separated by commas.
set -euo pipefail

port=${RABBITMQ_YARDSTICK_PORT:-5673}
node="interop-$port@localhost"
dir="${TMPDIR:-/tmp}/rabbitmq-interop-$port"

is_up() { rabbitmqctl -q -n "$node" await_startup --timeout 5 >/dev/null 2>&1; }

install() {
  command -v rabbitmq-server >/dev/null && return
  [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] && return
  local as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo)
  "${as_root[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq rabbitmq-server
}

start() {
  install
  if is_up; then echo "RabbitMQ already runs on port $port"; return; fi
  rm -rf "$dir"
  mkdir -p "$dir/mnesia" "$dir/log"
  # Only the listener: the other plugins slow the start down and no scenario asks for them.
  cat > "$dir/rabbitmq.conf" <<CONF
listeners.tcp.default = 127.0.0.1:$port
loopback_users = none
CONF
  local plugins=rabbitmq_consistent_hash_exchange
  if [ -n "${RABBITMQ_YARDSTICK_MANAGEMENT:-}" ]; then
    plugins+=,rabbitmq_management
    printf 'management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = %s\n' \
      "$RABBITMQ_YARDSTICK_MANAGEMENT" >> "$dir/rabbitmq.conf"
  fi
  plugins+=${RABBITMQ_YARDSTICK_PLUGINS:+,$RABBITMQ_YARDSTICK_PLUGINS}
  echo "[$plugins]." > "$dir/enabled_plugins"
  # The Debian wrapper drops root for the rabbitmq user, which then must own the folder.
  [ "$(id -u)" = 0 ] && chown -R rabbitmq "$dir"
  launch
  echo "RabbitMQ runs on port $port"
}

# Returns once it answers.
launch() {
  RABBITMQ_NODENAME=$node RABBITMQ_MNESIA_BASE=$dir/mnesia RABBITMQ_LOG_BASE=$dir/log \
  RABBITMQ_CONFIG_FILE=$dir/rabbitmq.conf RABBITMQ_ENABLED_PLUGINS_FILE=$dir/enabled_plugins \
  RABBITMQ_DIST_PORT=$((port + 20000)) \
    setsid rabbitmq-server > "$dir/out" 2>&1 < /dev/null &
  local tries=60
  until is_up; do
    tries=$((tries - 1))
    if [ "$tries" = 0 ]; then echo "RabbitMQ did not start; its output:" >&2; cat "$dir/out" >&2; exit 1; fi
    sleep 1
  done
}

kill_and_start() {
  local pid
  pid=$(cat "$dir/mnesia/$node.pid")
  kill -KILL "$pid"
  while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
  launch
  echo "RabbitMQ was killed and runs again on port $port"
}

stop() {
  if is_up; then rabbitmqctl -q -n "$node" stop; fi
  rm -rf "$dir"
  echo "RabbitMQ on port $port is stopped"
}

case "${1:-}" in
  start) start ;;
  stop) stop ;;
  kill) kill_and_start ;;
  *) echo "usage: $0 start|stop|kill" >&2; exit 2 ;;
esac
