#!/usr/bin/env bash
# Makes *.txt from *.in: every package with its version and hashes, for any system, and one version for every Python
# (--fork-strategy fewest): a version that only some Pythons get is one that few tests see. The worker and its tools run
# on Python 3.10 and later, ComfyUI on the image's 3.12 and later.
# usage: requirements/lock.sh [UV_OPTION...]    pinned versions stay unless asked: --upgrade, --upgrade-package NAME
set -Eeuo pipefail

# usage: lock PYTHON NAME [UV_OPTION...]    NAME.in -> NAME.txt, for that Python and later ones
lock() {
  uv pip compile --quiet --no-config --universal --python-version "$1" --fork-strategy fewest --no-strip-extras \
    --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
    "$2.in" --output-file "$2.txt" "${@:3}"
  repeat_without_extras "$2.txt"
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
  lock 3.10 worker "$@"
  # A laptop and the tests hold the container's very versions.
  lock 3.10 local "$@" --constraints worker.txt
  lock 3.10 dev "$@" --constraints local.txt
  lock 3.10 mutants "$@" --constraints dev.txt
  # ComfyUI's own environment, one for each CUDA that the image is built for.
  lock 3.12 comfyui-cu128 "$@"
  lock 3.12 comfyui-cu130 "$@"
}

main "$@"
