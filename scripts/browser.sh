#!/usr/bin/env bash
# Installs a headless Chromium for the tests of what opens in a browser, where there is none and apt has one.
# No failure of it fails: the tests themselves say what is missing (tests/support/browser.py).
set -uo pipefail

say() { printf 'doubleback: %s\n' "$*"; }

for name in chromium-headless-shell chromium chromium-browser google-chrome google-chrome-stable; do
    if [ -n "${CHROMIUM:-}" ] || command -v "$name" >/dev/null; then exit 0; fi
done
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    say "there is no Chromium, and no root with apt-get to install one: the browser tests are skipped." \
        "Install chromium, or point CHROMIUM at one."
    exit 0
fi
say "installing a headless Chromium for the browser tests (100 MB)"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update && apt-get install -y --no-install-recommends chromium-headless-shell; } >"$log" 2>&1; then
    apt-get install -y --no-install-recommends chromium >>"$log" 2>&1 ||
        { tail -n 5 "$log" >&2; say "apt-get could not install a Chromium, its last lines are above." >&2; }
fi
exit 0
