#!/usr/bin/env bash
# Gets the browser tests a browser where that is fair: in CI, as root, on Debian and its kin. Elsewhere they are skipped
# until one of the programs below is installed.
# usage: tests/browser/install_chromium.sh
set -Eeuo pipefail

main() {
  local program
  for program in chromium chromium-browser google-chrome; do
    if command -v "$program" >/dev/null; then return; fi
  done
  if [[ ${CI:-} != true || $EUID != 0 ]] || ! command -v apt-get >/dev/null; then return; fi
  echo "installing chromium for the browser tests"
  export DEBIAN_FRONTEND=noninteractive
  # Without it the tests are skipped and say so: a mirror that is down is no fault of the project's.
  apt-get -qq -o DPkg::Lock::Timeout=300 update &&
    apt-get -qq -o DPkg::Lock::Timeout=300 install --no-install-recommends chromium >/dev/null ||
    echo "install_chromium.sh: apt-get did not bring chromium" >&2
}

main "$@"
