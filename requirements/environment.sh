#!/usr/bin/env bash
# The environment that `make` works in, made with the Python that PYTHON names, else python3.
# usage: environment.sh create FOLDER          FOLDER is there and can be used, or one line says what to do
#        environment.sh install FOLDER LOCK    FOLDER has what LOCK names
set -Eeuo pipefail

OLDEST_MINOR=10 # of Python 3

# usage: die MESSAGE
die() {
  printf 'make: %s\n' "$1" >&2
  exit 1
}

# usage: version PYTHON; 3.12, or nothing where it does not run
version() {
  "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true
}

# usage: is_new_enough VERSION
is_new_enough() {
  [[ $1 == 3.* ]] && ((${1#3.} >= OLDEST_MINOR))
}

# usage: newest_python; the command of the newest one, for advice
newest_python() {
  local minor
  for minor in 14 13 12 11 10; do
    if [[ $(version "python3.$minor") == 3.$minor ]]; then
      echo "python3.$minor"
      return
    fi
  done
  echo "python3.$((OLDEST_MINOR + 2))"
}

# usage: create FOLDER PYTHON; whole, or not at all
create() {
  local folder=$1 python=$2 found output
  found=$(version "$python")
  [[ -n $found ]] || die "$python does not run: name another Python, as in make PYTHON=$(newest_python) run"
  is_new_enough "$found" ||
    die "$python is Python $found, and 3.$OLDEST_MINOR or later is needed: make PYTHON=$(newest_python) run"
  trap 'rm -rf "$folder"' EXIT
  if ! output=$("$python" -m venv "$folder" 2>&1); then
    [[ $output != *ensurepip* ]] || output="its venv is missing; on Debian or Ubuntu: apt-get install python$found-venv"
    die "$python cannot make $folder: $(tail -n 1 <<<"$output")"
  fi
  trap - EXIT
}

# usage: require_usable FOLDER; an environment that was there before
require_usable() {
  local folder=$1 has wanted
  has=$(version "$folder/bin/python")
  [[ -n $has ]] || die "$folder has no Python that runs: rm -r $folder, and run make again"
  is_new_enough "$has" || die "$folder has Python $has, and 3.$OLDEST_MINOR or later is needed: \
rm -r $folder, then make PYTHON=$(newest_python) run"
  if [[ -n ${PYTHON:-} ]]; then
    wanted=$(version "$PYTHON")
    [[ $wanted == "$has" ]] || die "$folder has Python $has, and $PYTHON is Python ${wanted:-none that runs}: \
rm -r $folder, or leave PYTHON out"
  fi
}

# usage: install FOLDER LOCK
install() {
  local folder=$1 lock=$2
  "$folder/bin/python" -c 'import pip' 2>/dev/null || die "$folder has no pip: rm -r $folder, and run make again"
  echo "installing $lock into $folder"
  "$folder/bin/python" -m pip install --disable-pip-version-check --progress-bar off --no-deps --require-hashes -r "$lock" |
    show_progress "$(grep -c '^[^[ ]*==' "$lock")"
}

# usage: COMMAND | show_progress COUNT; of pip's lines one that says how far it is
show_progress() {
  local count=$1 number=0 start="" word name
  [[ ! -t 1 ]] || start=$'\r'
  while read -r word name _; do
    case $word in
    Collecting | Processing)
      ((++number))
      if [[ -n $start ]]; then
        printf '\r  %3d of %d  %-50.50s' "$number" "$count" "${name##*/}"
      elif ((number % 25 == 0)); then
        printf '  %3d of %d\n' "$number" "$count"
      fi
      ;;
    Installing) printf '%s  unpacking %d packages%-40s\n' "$start" "$number" "" ;;
    esac
  done
}

# usage: main create FOLDER | main install FOLDER LOCK
main() {
  local command=$1 folder=$2
  if [[ $command == install ]]; then
    install "$folder" "$3"
  elif [[ -e $folder ]]; then
    require_usable "$folder"
  else
    create "$folder" "${PYTHON:-python3}"
  fi
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
  main "$@"
fi
