#!/usr/bin/env bash
# Makes *.txt from *.in: every package with its version and hashes, for Python 3.10 and later on any system, and one
# version for all of them (--fork-strategy fewest): a version that only some Pythons get is one that few tests see.
# usage: requirements/lock.sh [UV_OPTION...]    pinned versions stay unless asked: --upgrade, --upgrade-package NAME
set -Eeuo pipefail

# usage: lock NAME [UV_OPTION...]    NAME.in -> NAME.txt
lock() {
  uv pip compile --quiet --universal --python-version 3.10 --fork-strategy fewest --no-strip-extras --generate-hashes \
    --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
    "$1.in" --output-file "$1.txt" "${@:2}"
  repeat_without_extras "$1.txt"
}

# usage: repeat_without_extras FILE; adds NAME==VERSION for each NAME[EXTRA]==VERSION: older pips ask for both
repeat_without_extras() {
  awk '/^[^ ]/ { plain = sub(/\[[^]]*\]/, "") } plain' "$1" >"$1.plain"
  cat "$1.plain" >>"$1"
  rm "$1.plain"
}

main() {
  command -v uv >/dev/null || {
    echo "lock.sh: uv is missing; get it with: python3 -m pip install uv" >&2
    exit 1
  }
  cd "$(dirname "${BASH_SOURCE[0]}")"
  lock worker "$@"
  # A laptop and the tests hold the container's very versions.
  lock local "$@" --constraints worker.txt
  lock dev "$@" --constraints local.txt
  # ComfyUI's own environment, one for each CUDA that the image is built for.
  lock comfyui-cu124 "$@"
  lock comfyui-cu128 "$@"
}

main "$@"
