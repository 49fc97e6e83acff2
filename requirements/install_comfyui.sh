#!/usr/bin/env bash
# ComfyUI at one commit, in an environment of its own: for the image and for `make comfyui`. What is there already stays.
# usage: install_comfyui.sh environment VENV LOCK    VENV with exactly what LOCK names
#        install_comfyui.sh tree FOLDER VENV         ComfyUI, byte-compiled and started once with VENV's Python
set -Eeuo pipefail

: "${COMFYUI_REPOSITORY:=https://github.com/comfyanonymous/ComfyUI.git}"
: "${COMFYUI_COMMIT:=2f35f4a08176d993cded35dac3332be4f7287f41}" # release 0.33.0
: "${PYTHON:=python3}"

# usage: die MESSAGE
die() {
  printf 'install_comfyui.sh: %s\n' "$1" >&2
  exit 1
}

# usage: install_environment VENV LOCK
install_environment() {
  local venv=$1 lock=$2
  if cmp -s "$lock" "$venv/lock.txt"; then return; fi
  "$PYTHON" -m venv --clear "$venv"
  # Wheels only: a source package would run its own code, and build with whatever it finds.
  "$venv/bin/python" -m pip install --disable-pip-version-check --progress-bar off \
    --no-deps --only-binary :all: --require-hashes -r "$lock" ||
    die "$lock cannot be installed, see above: ComfyUI's locks are for Python 3.12 and later, and $PYTHON is $("$PYTHON" -V). \
PYTHON=python3.12 names another"
  "$venv/bin/python" -m pip check
  "$venv/bin/python" -c 'import torch, torchvision, torchaudio; print("torch", torch.__version__, "CUDA", torch.version.cuda)'
  cp "$lock" "$venv/lock.txt"
}

# usage: fetch_commit FOLDER; a name could move, a commit cannot
fetch_commit() {
  [[ $COMFYUI_COMMIT =~ ^[0-9a-f]{40}$ ]] || die "COMFYUI_COMMIT=$COMFYUI_COMMIT is no full commit id"
  git init --quiet "$1"
  if [[ $(git -C "$1" rev-parse --quiet --verify HEAD) == "$COMFYUI_COMMIT" ]]; then return; fi
  git -C "$1" fetch --quiet --depth 1 "$COMFYUI_REPOSITORY" "$COMFYUI_COMMIT"
  git -C "$1" -c advice.detachedHead=false checkout --quiet --force --detach "$COMFYUI_COMMIT"
}

# usage: install_tree FOLDER VENV
install_tree() {
  local folder=$1 python
  python=$(cd "$2" && pwd)/bin/python
  fetch_commit "$folder"
  # With no index, pip succeeds only where the environment holds all that this commit asks for.
  "$python" -m pip install --disable-pip-version-check --quiet --no-index -r "$folder/requirements.txt" ||
    die "the environment lacks something that ComfyUI $COMFYUI_COMMIT requires: see requirements/comfyui.in"
  "$python" -m compileall -q -x '/\.venv/' "$folder"
  (cd "$folder" && "$python" main.py --cpu --disable-api-nodes --disable-all-custom-nodes --quick-test-for-ci)
}

# usage: main environment VENV LOCK | main tree FOLDER VENV
main() {
  (($# == 3)) || die "usage: install_comfyui.sh environment VENV LOCK | tree FOLDER VENV"
  case $1 in
  environment) install_environment "$2" "$3" ;;
  tree) install_tree "$2" "$3" ;;
  *) die "unknown command $1: environment or tree" ;;
  esac
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then main "$@"; fi
