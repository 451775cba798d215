#!/bin/sh
# Resolve every *.in to its lock: hashes, no registry address. Run from the project's root, with uv on the PATH.
set -eu
lock() { uv pip compile --quiet --python-version 3.11 --generate-hashes --no-header "$@"; }
lock requirements/service.in -o requirements/service.txt
lock requirements/test.in -c requirements/service.txt -o requirements/test.txt
lock requirements/runtime.in -o requirements/runtime.txt
lock requirements/engine.in --no-deps -o requirements/engine.txt
lock requirements/pictures.in --no-deps -o requirements/pictures.txt
lock requirements/bench.in -o requirements/bench.txt
lock requirements/clients/ikomia.in --override requirements/clients/overrides.txt -o requirements/clients/ikomia.txt
lock requirements/clients/ikomia-full.in --override requirements/clients/overrides.txt --excludes requirements/clients/excludes.txt -c requirements/clients/ikomia.txt -o requirements/clients/ikomia-full.txt
