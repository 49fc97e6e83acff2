#!/usr/bin/env bash
# The image's layers of Python packages: split by how often they change, stripped of what no job needs, and the same bytes
# from the same lock whenever they are built, so that a registry and a host keep what they have.
# usage: layers.sh split LOCK FOLDER     FOLDER/torch.txt: torch with the libraries that it loads; FOLDER/rest.txt
#        layers.sh strip SITE            SITE (a site-packages) without what no job needs; each saving is printed
#        layers.sh settle FOLDER PYTHON  FOLDER byte-compiled, every file as old as the others
set -Eeuo pipefail

readonly MOMENT=2000-01-01T00:00:00Z # of every file: a .pyc holds its source's time, a layer that of all

# usage: split LOCK FOLDER
split() {
  awk -v folder="$2" '
    /^[^ ]/ { part = /^(torch|torchvision|torchaudio|triton|nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+)[=[]/ ? "torch" : "rest" }
    { print > (folder "/" part ".txt") }
  ' "$1"
}

# usage: remove SITE WHAT FIND_TEST...; the files below SITE that pass
remove() {
  find "$1" -type f "${@:3}" -printf '%s\n' -delete |
    awk -v what="$2" '{ bytes += $1 } END { printf "%4.0f MB less: %s\n", bytes / 1e6, what }'
}

# usage: empty SITE WHAT FIND_TEST...; the files below SITE that pass stay, without content: what looks for them finds them
empty() {
  find "$1" -type f "${@:3}" -printf '%s\n' -exec truncate --size=0 {} + |
    awk -v what="$2" '{ bytes += $1 } END { printf "%4.0f MB less: %s\n", bytes / 1e6, what }'
}

# usage: strip_symbols SITE; of libraries that come with their debugger's symbols
strip_symbols() {
  local file before after=0
  local -a files=("$1"/triton/_C/lib{triton,proton}.so "$1"/torch/lib/libtorch_{cpu,cuda,cuda_linalg,python}.so)
  before=$(cat "${files[@]}" | wc -c)
  for file in "${files[@]}"; do strip --strip-unneeded "$file"; done
  after=$(cat "${files[@]}" | wc -c)
  printf '%4d MB less: symbols of triton and torch\n' "$(((before - after) / 1000000))"
}

# usage: strip_site SITE; its packages stay installed, so pip check is content
strip_site() {
  empty "$1" "media of the page's workflow templates" -path '*/comfyui_workflow_templates_media_*' \
    -regex '.*\.\(webp\|png\|jpe?g\|gif\|mp[34]\|webm\|wav\|flac\|glb\)'
  remove "$1" "comfy-kitchen's kernels for AMD" -path '*/comfy_kitchen/backends/hip/*.so'
  remove "$1" "CUDA's solver for several GPUs, its compiler for older drivers: nothing loads them" -path '*/nvidia/*' \
    \( -name 'libcusolverMg.so.*' -o -name 'libnvrtc*.alt.so.*' \)
  remove "$1" "static libraries and bitcode, for compilers" \( -name '*.a' -o -name 'libnvshmem_device.bc' \)
  [[ ! -d $1/triton ]] || strip_symbols "$1"
}

# usage: settle FOLDER PYTHON
settle() {
  find "$1" -name __pycache__ -prune -exec rm -rf {} +
  find "$1" -exec touch --no-dereference --date="$MOMENT" {} +
  # A few packages carry files of other Pythons, which do not compile; a fixed hash seed orders the sets in the rest.
  PYTHONHASHSEED=0 "$2" -m compileall -q "$1" >/dev/null || true
  find "$1" -exec touch --no-dereference --date="$MOMENT" {} +
}

# usage: main COMMAND ARGUMENT...
main() {
  case ${1:-}:$# in
  split:3) split "$2" "$3" ;;
  strip:2) strip_site "$2" ;;
  settle:3) settle "$2" "$3" ;;
  *)
    echo "usage: layers.sh split LOCK FOLDER | strip SITE | settle FOLDER PYTHON" >&2
    exit 1
    ;;
  esac
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then main "$@"; fi
