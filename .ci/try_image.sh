#!/usr/bin/env bash
# Starts an image on this machine's CPU with tiny random weights, and runs one job in it: a clip and its frames come back.
# usage: [PORT=8000] .ci/try_image.sh IMAGE [OPTION OF docker run...]    in the project's environment (make .venv/local)
set -Eeuo pipefail

# usage: await SECONDS CONTAINER TEXT; until the container's log has it
await() {
  local end=$((SECONDS + $1))
  until docker logs "$2" 2>&1 | grep --quiet "$3"; do
    if ((SECONDS > end)) || [[ $(docker inspect --format '{{.State.Running}}' "$2") != true ]]; then
      docker logs "$2" >&2
      echo "try_image.sh: the container does not log: $3" >&2
      return 1
    fi
    sleep 0.2
  done
}

# usage: main IMAGE [OPTION...]
main() {
  local image=${1:?usage: try_image.sh IMAGE [OPTION OF docker run...]} container started
  shift
  : "${PORT:=8000}"
  cd "$(dirname "${BASH_SOURCE[0]}")/.."
  folder=$(mktemp -d)
  chmod 755 "$folder" # ComfyUI's user reads it
  .venv/bin/python -m bench.weights "$folder/models" --tiny >/dev/null
  started=$SECONDS
  container=$(docker run --detach --publish "127.0.0.1:$PORT:8000" --env COMFYUI_ARGS=--cpu \
    --volume "$folder:/runpod-volume" --volume "$PWD/bench/tiny_hunyuan:/comfyui/custom_nodes/tiny_hunyuan:ro" \
    "$@" "$image")
  # shellcheck disable=SC2064 # the container and the folder of now
  trap "docker rm --force '$container' >/dev/null; rm -rf '$folder'" EXIT
  await 300 "$container" "ComfyUI runs as the user comfyui"
  await 300 "$container" "All fitness checks passed"
  echo "takes jobs after $((SECONDS - started)) s"
  .venv/bin/python test_runpod_local.py sync --url "http://127.0.0.1:$PORT" --image examples/rocket.jpg --prompt "the rocket lifts off" \
    --width 96 --height 64 --frames 5 --steps 2 --timeout 300 --out "$folder/outputs"
  docker stop --time 60 "$container" >/dev/null
  [[ $(docker inspect --format '{{.State.ExitCode}}' "$container") == 0 ]]
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then main "$@"; fi
