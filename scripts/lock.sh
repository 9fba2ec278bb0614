#!/usr/bin/env bash
# Writes requirements/cpu.lock: every package pinned, the same versions for Python 3.11 to 3.13.
# Keeps the versions that still fit; UPGRADE=1 takes the newest of everything that pyproject.toml and cpu.in allow.
set -euo pipefail
cd "$(dirname "$0")/.."
lock=requirements/cpu.lock
dropped="torchvision torchaudio torchcodec triton"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check uv 2>"$work/log" ||
    { tail -n 5 "$work/log" >&2; exit 2; }

# torch's CPU wheel is on no ordinary index: take it from where pip is told to look, else from PyTorch's own index.
sources=(--index-strategy unsafe-best-match)
if [ -n "${PIP_FIND_LINKS:-}" ]; then
    for place in $PIP_FIND_LINKS; do sources+=(--find-links "$place"); done
else
    sources+=(--extra-index-url https://download.pytorch.org/whl/cpu)
fi

unlisted=()
for package in $dropped; do unlisted+=(--no-emit-package "$package"); done
cp "$lock" "$work/cpu.lock" 2>/dev/null || true
# One version of a package for all Pythons ("fewest"): what is tested on one is what runs on the others.
"$work/venv/bin/uv" pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
    ${UPGRADE:+--upgrade} "${sources[@]}" --override requirements/cpu.override "${unlisted[@]}" \
    --no-annotate --no-header --extra cpu --extra trackers --extra dev \
    --output-file "$work/cpu.lock" pyproject.toml requirements/cpu.in

{
    echo "# Made by \`make lock\` from pyproject.toml, requirements/cpu.in and requirements/cpu.override; do not edit."
    echo "# Installed with --no-deps by scripts/install.sh. Universal: one version each for Python 3.11 to 3.13 on Linux"
    echo "# (x86_64, aarch64). Left out on purpose: $dropped."
    cat "$work/cpu.lock"
} >"$lock"
echo "$lock: $(grep -c '==' "$lock") packages"
