#!/bin/sh
# Install the few system libraries that the engine links against, and bubblewrap for isolation, where this is possible (Debian, as root).
# Without them everything but isolation works on ordinary machines; what is missing is said, nothing fails here.
set -u
missing=""
command -v bwrap >/dev/null 2>&1 || missing="$missing bubblewrap"
for pair in libstdc++.so.6:libstdc++6 libX11.so.6:libx11-6 libxcb.so.1:libxcb1 libwayland-client.so.0:libwayland-client0; do
  library=${pair%%:*}
  { ldconfig -p 2>/dev/null || /sbin/ldconfig -p 2>/dev/null; } | grep -q "$library" || missing="$missing ${pair##*:}"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "setup: system packages:$missing"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } >/dev/null 2>&1 && exit 0
fi
echo "setup: not installed:$missing (deployments run without isolation if bubblewrap is among them)"
