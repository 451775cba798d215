#!/bin/sh
# The registry that tests push images to: Debian's docker-registry, unpacked into .venvs/registry. Nothing is installed into the system, and nothing of it is started.
set -u
folder=.venvs/registry
mkdir -p "$folder"
if command -v docker-registry >/dev/null 2>&1 || [ -x "$folder/usr/bin/docker-registry" ]; then
  touch "$folder/done"
  exit 0
fi
fetch() { (cd "$folder" && apt-get download docker-registry >/dev/null 2>&1 && dpkg -x docker-registry_*.deb . && rm -f docker-registry_*.deb); }
if command -v apt-get >/dev/null 2>&1 && command -v dpkg >/dev/null 2>&1; then
  echo "setup: a registry for the tests (docker-registry)"
  fetch || { [ "$(id -u)" = 0 ] && apt-get update -qq >/dev/null 2>&1 && fetch; } && touch "$folder/done" && exit 0
fi
echo "setup: no docker-registry here (the tests of pushing images are left out, except in CI, where they fail)"
