#!/usr/bin/env bash
# The container's entry: starts ComfyUI and keeps it up, brings the models in, and at once becomes COMMAND (the handler),
# so that signals reach it. COMMAND waits for both: for ComfyUI's answer and for what MODELS_STATE says.
# usage: builder.sh COMMAND [ARGUMENT...]    started a second time, it becomes COMMAND and does nothing again
#        builder.sh                          status 0 once both are under way: builder.sh && python handler.py
set -Eeuo pipefail

BUILDER_HOME=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${WORKER_PYTHON:=python3}" # a program | runs `worker.models` during the boot
: "${COMFYUI_DIR:=/comfyui}"
: "${COMFYUI_DATA:=/tmp/comfyui}"                    # a folder | where ComfyUI keeps its input, output and models if COMFYUI_DIR is not writable, as with `docker run --user` or a read-only root
: "${COMFYUI_PYTHON:=$COMFYUI_DIR/.venv/bin/python}" # a program | ComfyUI's Python; the image sets it
: "${COMFYUI_USER:=root}"                            # a user with a group of the same name | runs ComfyUI, if the container runs as root and this user can read the models; in the image `comfyui`. `root` gives node packs the worker's rights ([what that means](WORKFLOWS.md#what-a-node-pack-may-do))
: "${COMFYUI_LISTEN:=127.0.0.1}"                     # an address | where ComfyUI listens; `0.0.0.0` opens its page and API to everyone who can reach the container: for debugging only
: "${COMFYUI_PORT:=8188}"                            # a port | where ComfyUI listens
: "${COMFYUI_ARGS:=}"                                # arguments, separated by spaces | added to ComfyUI's command line, as in `--reserve-vram 2`; `--use-sage-attention` gives black video with this model
: "${COMFYUI_LOG:=/tmp/comfyui.log}"
: "${COMFYUI_PID:=/tmp/comfyui.pid}"
: "${COMFYUI_LOG_LIMIT:=10000000}" # bytes | when COMFYUI_LOG grows longer, its beginning is cut off
: "${MODELS_STATE:=/tmp/models.state}"
: "${COMFYUI_STATE:=/tmp/comfyui.state}"
: "${BOOT_FILE:=/tmp/worker.boot}"
: "${END_WAIT:=15}" # s that the handler has to tell the platform why it is unfit, and to answer its job
: "${MODEL_PATHS:=/tmp/extra_model_paths.yaml}"
: "${VOLUME_CUSTOM_NODES:=0}"    # 0 or 1 | 1: load the node packs in the volume's `custom_nodes/` ([what that means](WORKFLOWS.md#custom-nodes))
: "${COMFYUI_MAX_DEATHS:=3}"     # deaths | after this many within COMFYUI_DEATH_WINDOW the container stops
: "${COMFYUI_DEATH_WINDOW:=600}" # s | see COMFYUI_MAX_DEATHS
: "${RUNPOD_INIT_TIMEOUT:=420}"  # s | RunPod's limit from the container's start until it takes jobs; raise it if models are downloaded
# of cgroup 2, and of 1
OOM_COUNTS=(/sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control)
readonly ADVICE="add a folder for it, as in docker run --tmpfs /tmp"
# While ComfyUI imports, Python's garbage collector looks at every object again and again: a sixth of its start. So it looks
# seldom until the worker's nodes are loaded, which are among the last (comfyui_nodes/garbage.py).
START_COMFYUI='import gc, runpy, sys
gc.set_threshold(50_000, 100, 100)
sys.argv.pop(0)
runpy.run_path("main.py", run_name="__main__")'
export COMFYUI_DIR COMFYUI_LOG COMFYUI_PID COMFYUI_STATE MODELS_STATE
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

# usage: require; what cannot be fixed by waiting ends the boot at once
require() {
  local name
  [[ -f $COMFYUI_DIR/main.py ]] || die "no ComfyUI in COMFYUI_DIR=$COMFYUI_DIR: main.py is missing"
  [[ -x $COMFYUI_PYTHON ]] || die "COMFYUI_PYTHON=$COMFYUI_PYTHON cannot be run"
  for name in COMFYUI_LOG COMFYUI_STATE MODELS_STATE; do
    { : >"${!name}"; } 2>/dev/null || die "$name=${!name} cannot be written: $ADVICE"
  done
}

# usage: choose_data; COMFYUI_DIR becomes the folder that ComfyUI writes to, COMFYUI_TREE is the one with its code
choose_data() {
  COMFYUI_TREE=$COMFYUI_DIR
  [[ -w ${HOME:-/} ]] || export HOME=/tmp # for the caches of libraries
  [[ ! -w $COMFYUI_DIR ]] || return 0
  mkdir -p "$COMFYUI_DATA"/{input,output,user,models} 2>/dev/null || die "neither COMFYUI_DIR=$COMFYUI_DIR nor \
COMFYUI_DATA=$COMFYUI_DATA can be written to: $ADVICE"
  log "COMFYUI_DIR=$COMFYUI_DIR cannot be written to: ComfyUI's files are in $COMFYUI_DATA"
  COMFYUI_DIR=$COMFYUI_DATA
}

# usage: require_numbers VARIABLE...; bash counts with them, and its own message names no variable
require_numbers() {
  local name
  for name; do
    [[ ${!name} =~ ^[1-9][0-9]{0,8}$ ]] || die "$name=${!name} must be a whole number from 1"
  done
}

# usage: set_timeouts
set_timeouts() {
  require_numbers COMFYUI_LOG_LIMIT COMFYUI_MAX_DEATHS COMFYUI_DEATH_WINDOW RUNPOD_INIT_TIMEOUT
  # The platform calls a worker unhealthy after RUNPOD_INIT_TIMEOUT; the boot gives up a little earlier, to say why.
  : "${BOOT_TIMEOUT:=$((RUNPOD_INIT_TIMEOUT > 20 ? RUNPOD_INIT_TIMEOUT - 20 : 1))}"
  require_numbers BOOT_TIMEOUT
  # ComfyUI boots beside the models, so it may take as long as they.
  : "${COMFYUI_BOOT_TIMEOUT:=$((BOOT_TIMEOUT < 3600 ? BOOT_TIMEOUT : 3600))}"
  export BOOT_TIMEOUT COMFYUI_BOOT_TIMEOUT
}

# usage: hold_boot_file; false where another builder.sh of this container holds it: ComfyUI and the models are its
# A lock of the kernel: it ends with its holder, and no file is left that a restarted container would believe.
hold_boot_file() {
  local status=0
  { exec {BOOT_LOCK}<>"$BOOT_FILE"; } 2>/dev/null || die "BOOT_FILE=$BOOT_FILE cannot be written: $ADVICE"
  flock -w 0.2 "$BOOT_LOCK" || status=$?
  ((status < 2)) || die "flock does not work: install util-linux"
  return "$status"
}

# usage: write_boot_file; what a second builder.sh, and a handler that builder.sh did not become, cannot know
write_boot_file() {
  local name
  for name in COMFYUI_DIR COMFYUI_URL COMFYUI_LOG COMFYUI_PID COMFYUI_STATE MODELS_STATE BOOT_TIMEOUT COMFYUI_BOOT_TIMEOUT; do
    printf '%s=%s\n' "$name" "${!name}"
  done >"$BOOT_FILE"
}

# usage: read_boot_file; into the environment
read_boot_file() {
  local line
  while read -r line; do export "${line?}"; done <"$BOOT_FILE"
}

# usage: describe; a few lines on where this container runs
describe() {
  local gpu disk memory version
  gpu=$(nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader 2>/dev/null | paste -sd ';') ||
    gpu="none: nvidia-smi does not answer"
  disk=$(df -h --output=avail,size "$COMFYUI_DIR" | awk 'NR == 2 { print $1 " free of " $2 }')
  memory=$(awk '/^MemAvailable/ { printf "%.0f GB available", $2 / 1e6 }' /proc/meminfo)
  version=$(sed -n 's/^__version__ *= *"\(.*\)"/\1/p' "$COMFYUI_TREE/comfyui_version.py" 2>/dev/null) || version=unknown
  log "worker ${WORKER_VERSION:-unknown} (${WORKER_COMMIT:-unknown}), ComfyUI $version in $COMFYUI_TREE"
  log "GPU: $gpu"
  log "disk: $disk; memory: $memory; volume: ${VOLUME_DIR:-/runpod-volume}; boot timeout: $BOOT_TIMEOUT s"
}

# usage: COMMAND | write_log; to the output and to COMFYUI_LOG, which the worker quotes; a long one loses its beginning
write_log() {
  # Unbuffered: the last lines of one that dies must be there at once.
  while stdbuf -o0 head -c "$COMFYUI_LOG_LIMIT" | tee -a "$COMFYUI_LOG" &&
    (($(stat -c %s "$COMFYUI_LOG") >= COMFYUI_LOG_LIMIT)); do
    tail -n 200 "$COMFYUI_LOG" | tail -c 100000 >"$COMFYUI_LOG.tail" || break
    mv "$COMFYUI_LOG.tail" "$COMFYUI_LOG"
  done
  cat # on a full disk: without a reader the next line of output would fail ComfyUI
}

# usage: COMMAND | mark_lines; a caller's words in ComfyUI's output, such as a node's id, cannot pass for a line of the
# handler's: each begins with `comfyui: `, and colors and control characters are left out
mark_lines() {
  LC_ALL=C stdbuf -oL sed 's/\x1b\[[0-9;]*[A-Za-z]//g; s/\r/\n/g; s/[\x00-\x08\x0b-\x1f\x7f]//g; s/^/comfyui: /mg'
}

# usage: list_model_folders; `NAME FOLDER` for each folder below models/ in which ComfyUI looks for a kind of model
list_model_folders() {
  (cd "$COMFYUI_TREE" && "$COMFYUI_PYTHON" -c '
import os, folder_paths
for name, (paths, _) in folder_paths.folder_names_and_paths.items():
    for path in paths:
        print(name, os.path.relpath(path, folder_paths.models_dir))')
}

# usage: name_model_paths; writes the volume's models folders where ComfyUI reads them
name_model_paths() {
  local volume=${VOLUME_DIR:-/runpod-volume} models=${MODELS_DIR:-$COMFYUI_DIR/models} options=()
  : >"$MODEL_PATHS"
  [[ $models == "$COMFYUI_TREE/models" ]] || options+=(--models "$models")
  [[ -d $volume || -n ${options[*]} ]] || return 0
  if [[ $VOLUME_CUSTOM_NODES == 1 ]]; then
    options+=(--custom-nodes)
    log "ComfyUI loads the node packs of $volume/custom_nodes: they are programs"
  fi
  list_model_folders | "$WORKER_PYTHON" -m worker.models.paths "$volume" "${options[@]}" >"$MODEL_PATHS" ||
    log "ComfyUI may not see every model of $volume, see above"
}

# usage: choose_user; AS_USER becomes what runs ComfyUI as COMFYUI_USER, or stays empty with a line that says why
# Nodes are other people's code: as another user they neither read the worker's keys in /proc nor change its files.
choose_user() {
  local obstacle
  AS_USER=()
  if [[ -z $COMFYUI_USER || $COMFYUI_USER == root ]] || ((EUID != 0)); then return; fi
  AS_USER=(setpriv "--reuid=$COMFYUI_USER" "--regid=$COMFYUI_USER" --init-groups --no-new-privs
    env "USER=$COMFYUI_USER" "HOME=$COMFYUI_DIR/user")
  if obstacle=$(give_folders 2>&1 && find_unreadable 2>&1) && [[ -z $obstacle ]]; then
    log "ComfyUI runs as the user $COMFYUI_USER"
  else
    log "ComfyUI runs as root, not as $COMFYUI_USER: $obstacle"
    AS_USER=()
  fi
}

# usage: give_folders; COMFYUI_USER owns those that ComfyUI writes to
give_folders() {
  mkdir -p "$COMFYUI_DIR"/{input,output,temp,user} &&
    chown "$COMFYUI_USER" "$COMFYUI_DIR"/{input,output,temp} && chown -R "$COMFYUI_USER" "$COMFYUI_DIR/user"
}

# usage: find_unreadable; the first of what ComfyUI needs that COMFYUI_USER cannot read
find_unreadable() {
  # shellcheck disable=SC2016 # for that bash
  list_needed 2>/dev/null | "${AS_USER[@]}" bash -c \
    'while read -r path; do [[ -r $path ]] || { echo "it cannot read $path"; break; }; done'
}

# usage: list_needed; ComfyUI's code, the GPUs, the folders with models, and the models that are there already
list_needed() {
  local volume=${VOLUME_DIR:-/runpod-volume} folders=()
  mapfile -t folders < <(sed -n 's/^ *"base_path": "\(.*\)",$/\1/p' "$MODEL_PATHS")
  printf '%s\n' "$COMFYUI_PYTHON" "$COMFYUI_TREE/main.py"
  find /dev -maxdepth 1 -name 'nvidia*' -type c
  find -L "$volume" "${folders[@]}" -maxdepth 0 -type d
  find -L "${folders[@]:-$COMFYUI_TREE/models}" -maxdepth 2 -type f -regex '.*\.\(safetensors\|sft\|gguf\|ckpt\|bin\|pth?\)'
  find -L "$volume/huggingface-cache/hub" -type f -path '*/snapshots/*.safetensors' || true
}

# usage: run_comfyui; in a process of its own, which it replaces
# Dynamic VRAM stays on, ComfyUI's default: weights stay on the GPU until something needs the room. --highvram switches it
# off and never gives a diffusion model's room back, also on 80 GB: three models and a 1080p clip's decoding need more.
run_comfyui() {
  local -a extra flags=(--listen "$COMFYUI_LISTEN" --port "$COMFYUI_PORT" --disable-metadata) # prompts stay out of files
  # The default cache drops old frames when the host's memory is short; a container's limit kills ComfyUI long before.
  [[ " $COMFYUI_ARGS" == *\ --cache-* ]] || flags+=(--cache-classic)
  [[ ${API_NODES:-0} == 1 ]] || flags+=(--disable-api-nodes)
  read -ra extra <<<"$COMFYUI_ARGS"
  flags+=("${extra[@]}")
  [[ ! -s $MODEL_PATHS ]] || flags+=(--extra-model-paths-config "$MODEL_PATHS")
  drop_secrets
  export USER="${USER:-worker}" # PyTorch asks for the user's name, and a number given with --user has none
  [[ $COMFYUI_DIR == "$COMFYUI_TREE" ]] || flags+=(--input-directory "$COMFYUI_DIR/input" --output-directory
    "$COMFYUI_DIR/output" --temp-directory "$COMFYUI_DIR" --user-directory "$COMFYUI_DIR/user"
    --database-url "sqlite:///$COMFYUI_DIR/user/comfyui.db")
  cd "$COMFYUI_TREE" || exit 1 # its caller switches set -e off
  exec "${AS_USER[@]}" "$COMFYUI_PYTHON" -u -c "$START_COMFYUI" main.py "${flags[@]}" > >(write_log | mark_lines) 2>&1
}

# usage: drop_secrets; nodes are other people's code, and need neither the bucket's, the hub's nor RunPod's keys
drop_secrets() {
  local name
  for name in $(compgen -e); do
    case $name in
    BUCKET_* | RUNPOD_* | HF_TOKEN | HUGGING_FACE_HUB_TOKEN) unset "$name" ;;
    esac
  done
}

# usage: follow PID; its status when it ends; it is ended when OWNER ends: outside a container nothing else would
follow() {
  local watcher status=0
  tail --pid="$OWNER" -f /dev/null &
  watcher=$!
  wait -n "$1" "$watcher" 2>/dev/null || status=$? # bash tells of a kill in words of its own
  if ! kill -0 "$OWNER" 2>/dev/null; then
    kill "$1"
    exit
  fi
  kill "$watcher"
  return "$status"
}

# usage: count_oom_kills; how often the kernel has killed in this container for lack of memory
count_oom_kills() {
  # cat: an awk ends at a file that is missing, and one of them always is
  { cat "${OOM_COUNTS[@]}" 2>/dev/null || true; } | awk '$1 == "oom_kill" { count = $2 } END { print count + 0 }'
}

# usage: explain_end STATUS OOM_KILLS; why a process ended with STATUS; OOM_KILLS: how many there were when it started
explain_end() {
  local status=$1 before=$2
  if (($(count_oom_kills) > before)); then
    echo "was killed for lack of memory (status $status): the container needs more"
  elif ((status == 137)); then
    echo "ended with status 137 (killed, as it is for lack of memory)"
  else
    echo "ended with status $status"
  fi
}

# usage: quote_comfyui; the last line that ComfyUI itself has written
quote_comfyui() {
  tail -c 20000 "$COMFYUI_LOG" | tr '\r' '\n' | grep -v ' builder: \|^[[:space:]]*$' | tail -n 1 | cut -c 1-300
}

# usage: supervise_comfyui; starts ComfyUI again when it ends, until it has ended too often
supervise_comfyui() {
  local -a deaths=()
  local status oom_kills end
  name_model_paths
  choose_user
  while true; do
    status=0
    oom_kills=$(count_oom_kills)
    run_comfyui &
    printf '%s\n' $! >"$COMFYUI_PID" || true # COMMAND kills one that hangs
    follow $! || status=$?
    deaths+=("$SECONDS")
    while ((SECONDS - deaths[0] > COMFYUI_DEATH_WINDOW)); do deaths=("${deaths[@]:1}"); done
    end=$(explain_end "$status" "$oom_kills")
    log "ComfyUI $end, ${#deaths[@]} of $COMFYUI_MAX_DEATHS times within $COMFYUI_DEATH_WINDOW s" |
      tee -a "$COMFYUI_LOG" || true # the disk may be full
    ((${#deaths[@]} < COMFYUI_MAX_DEATHS)) || break
    sleep "$((1 << (${#deaths[@]} - 1)))"
  done
  printf 'ComfyUI does not stay up: it %s; its last line: %s\n' "$end" "$(quote_comfyui)" >"$COMFYUI_STATE" || true
  log "error: ComfyUI does not stay up: the container ends. Its last lines:" >&2
  tail -n 20 "$COMFYUI_LOG" | sed 's/^/  /' >&2
  end_container
}

# usage: end_container; COMMAND ends, which this script has become; one that it has not become reads the states
end_container() {
  timeout "$END_WAIT" tail --pid="$OWNER" -f /dev/null && exit 1
  # Not TERM: the handler would end with status 0, as if asked to.
  [[ $OWNER != "$$" ]] || kill -USR1 "$$"
  exit 1
}

# usage: bring_models; MODELS_STATE becomes `ready`, or the reason why not; then the container ends
bring_models() {
  local left=$((BOOT_TIMEOUT > SECONDS ? BOOT_TIMEOUT - SECONDS : 1)) status=0 reason
  timeout --foreground "$left" "$WORKER_PYTHON" -m worker.models bring --state "$MODELS_STATE" &
  follow $! || status=$?
  if ((status == 0)); then
    log "models in place after $SECONDS s"
    warm_links
    return
  fi
  reason="the models cannot be brought in, see above (status $status)"
  ((status != 124)) || reason="the models are not in place $SECONDS s after the start: give RUNPOD_INIT_TIMEOUT more than \
$RUNPOD_INIT_TIMEOUT s, or put the models on the volume; what was downloaded to it is kept"
  log "error: $reason" >&2
  [[ -s $MODELS_STATE ]] || printf '%s\n' "$reason" >"$MODELS_STATE"
  end_container
}

# usage: warm_links; reads linked models into memory while the handler takes jobs
warm_links() {
  if [[ -n $(find "${MODELS_DIR:-$COMFYUI_DIR/models}" -maxdepth 2 -type l -name '*.safetensors' -print -quit) ]]; then
    "$WORKER_PYTHON" -m worker.models warm
  fi
}

# usage: start_all; each from a subshell that ends at once: what ends here later is the init's to reap, not COMMAND's
start_all() {
  trap '' INT # Ctrl-C is for COMMAND; what follows ends with it
  (supervise_comfyui &)
  (bring_models &) {BOOT_LOCK}>&-
  (describe &) {BOOT_LOCK}>&- # nvidia-smi may take seconds
  trap - INT
}

# usage: main [COMMAND [ARGUMENT...]]
main() {
  trap 'log "error: line $LINENO: $BASH_COMMAND ended with status $?" >&2' ERR
  OWNER=$$
  (($# > 0)) || OWNER=$PPID # what goes on when this script has ended: the shell that then becomes the handler
  if hold_boot_file; then
    require
    choose_data
    set_timeouts
    write_boot_file
    (cd "$BUILDER_HOME" && start_all)
    log "ComfyUI and the models are under way"
  else
    read_boot_file
    log "another builder.sh has started ComfyUI and the models: nothing to do again"
  fi
  (($# > 0)) || return 0
  cd "$BUILDER_HOME"
  log "starting: $*"
  exec "$@" {BOOT_LOCK}>&-
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
  main "$@"
fi
