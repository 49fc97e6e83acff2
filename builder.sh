#!/usr/bin/env bash
# The container's entry: ComfyUI starts at once and is kept up, the models are brought in meanwhile, then COMMAND
# (the handler) takes this process over, so that signals reach it.
# usage: builder.sh COMMAND [ARGUMENT...]
set -Eeuo pipefail

BUILDER_HOME=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${WORKER_PYTHON:=python3}"
: "${COMFYUI_DIR:=/comfyui}"
: "${COMFYUI_PYTHON:=$COMFYUI_DIR/.venv/bin/python}"
: "${COMFYUI_LISTEN:=127.0.0.1}"
: "${COMFYUI_PORT:=8188}"
: "${COMFYUI_ARGS:=}"
: "${COMFYUI_LOG:=/tmp/comfyui.log}"
: "${COMFYUI_MAX_DEATHS:=3}"
: "${COMFYUI_DEATH_WINDOW:=600}"
# The platform calls a worker unhealthy after this long; the boot gives up a little earlier, to say why.
: "${BOOT_TIMEOUT:=$((${RUNPOD_INIT_TIMEOUT:-420} - 20))}"
export COMFYUI_DIR COMFYUI_LOG
export COMFYUI_URL="${COMFYUI_URL:-http://127.0.0.1:$COMFYUI_PORT}"

# usage: log MESSAGE...
log() {
  printf '%(%F %T)T builder: %s\n' -1 "$*"
}

# usage: die MESSAGE...
die() {
  log "error: $*" >&2
  exit 1
}

# usage: require COMMAND...; what cannot be mended by waiting ends the boot at once
require() {
  (($# > 0)) || die "no command to become: usage: builder.sh COMMAND [ARGUMENT...]"
  [[ -f $COMFYUI_DIR/main.py ]] || die "no ComfyUI in COMFYUI_DIR=$COMFYUI_DIR: main.py is missing"
  [[ -x $COMFYUI_PYTHON ]] || die "COMFYUI_PYTHON=$COMFYUI_PYTHON cannot be run"
  : >"$COMFYUI_LOG" || die "COMFYUI_LOG=$COMFYUI_LOG cannot be written"
}

# usage: describe; a few lines on where this container runs
describe() {
  local gpu disk memory version
  gpu=$(nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader 2>/dev/null | paste -sd ';') ||
    gpu="none: nvidia-smi does not answer"
  disk=$(df -h --output=avail,size "$COMFYUI_DIR" | awk 'NR == 2 { print $1 " free of " $2 }')
  memory=$(awk '/^MemAvailable/ { printf "%.0f GB available", $2 / 1e6 }' /proc/meminfo)
  version=$(sed -n 's/^__version__ *= *"\(.*\)"/\1/p' "$COMFYUI_DIR/comfyui_version.py" 2>/dev/null) || version=unknown
  log "worker ${WORKER_VERSION:-unknown} (${WORKER_COMMIT:-unknown}), ComfyUI $version in $COMFYUI_DIR"
  log "GPU: $gpu"
  log "disk: $disk; memory: $memory; volume: ${VOLUME_DIR:-/runpod-volume}; boot timeout: $BOOT_TIMEOUT s"
}

# usage: run_comfyui; its output goes to the log and to COMFYUI_LOG, which the worker quotes
run_comfyui() {
  local extra
  read -ra extra <<<"$COMFYUI_ARGS"
  cd "$COMFYUI_DIR" || exit 1 # its caller switches set -e off
  exec "$COMFYUI_PYTHON" -u main.py --listen "$COMFYUI_LISTEN" --port "$COMFYUI_PORT" \
    --disable-metadata --disable-api-nodes "${extra[@]}" > >(exec tee -a "$COMFYUI_LOG") 2>&1
}

# usage: supervise_comfyui; starts ComfyUI again when it ends, until it has ended too often
supervise_comfyui() {
  local -a deaths=()
  local status
  while true; do
    status=0
    (run_comfyui) || status=$?
    deaths+=("$SECONDS")
    while ((SECONDS - deaths[0] > COMFYUI_DEATH_WINDOW)); do deaths=("${deaths[@]:1}"); done
    log "ComfyUI ended with status $status, ${#deaths[@]} of $COMFYUI_MAX_DEATHS times within $COMFYUI_DEATH_WINDOW s" |
      tee -a "$COMFYUI_LOG"
    ((${#deaths[@]} < COMFYUI_MAX_DEATHS)) || end_container
    sleep "$((1 << (${#deaths[@]} - 1)))"
  done
}

# usage: end_container; $$ is this script and, after its exec, the handler
end_container() {
  log "error: ComfyUI does not stay up: the container ends. Its last lines:" >&2
  tail -n 20 "$COMFYUI_LOG" | sed 's/^/  /' >&2
  sleep 5 # the job that ran on it is answered within 2 s
  # Not TERM: the handler would end with status 0, as if asked to.
  kill -USR1 "$$"
  exit 1
}

# usage: bring_models; returns when all are in place, ends the boot when they cannot be
bring_models() {
  local left=$((BOOT_TIMEOUT > SECONDS ? BOOT_TIMEOUT - SECONDS : 1)) status=0
  timeout --foreground "$left" "$WORKER_PYTHON" -m worker.models bring || status=$?
  ((status != 124)) || die "the models are not in place $SECONDS s after the start: give RUNPOD_INIT_TIMEOUT more than" \
    "${RUNPOD_INIT_TIMEOUT:-420} s, or put the models on the volume; what was downloaded to it is kept"
  ((status == 0)) || die "the models cannot be brought in, see above (status $status)"
}

# usage: warm_links; reads linked models into memory while the handler starts
warm_links() {
  if [[ -n $(find "${MODELS_DIR:-$COMFYUI_DIR/models}" -maxdepth 2 -type l -name '*.safetensors' -print -quit) ]]; then
    "$WORKER_PYTHON" -m worker.models warm &
  fi
}

# usage: main COMMAND [ARGUMENT...]
main() {
  trap 'log "error: line $LINENO: $BASH_COMMAND ended with status $?" >&2' ERR
  require "$@"
  cd "$BUILDER_HOME"
  supervise_comfyui &
  # After ComfyUI's start: nvidia-smi may take seconds.
  describe
  bring_models
  warm_links
  export COMFYUI_BOOT_TIMEOUT="${COMFYUI_BOOT_TIMEOUT:-$((BOOT_TIMEOUT > SECONDS ? BOOT_TIMEOUT - SECONDS : 1))}"
  log "models in place after $SECONDS s; starting: $*"
  exec "$@"
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
  main "$@"
fi
