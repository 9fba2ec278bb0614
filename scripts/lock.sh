#!/usr/bin/env bash
# Writes requirements/cpu.lock and requirements/cuda.lock: every package pinned by version and hash, the same versions for
# Python 3.11 to 3.13.
# Keeps the versions that still fit; UPGRADE=1 takes the newest of everything that pyproject.toml and cpu.in allow.
set -euo pipefail
cd "$(dirname "$0")/.."
dropped="torchvision torchaudio torchcodec triton"
cpu_index=https://download.pytorch.org/whl/cpu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
die() { echo "lock: $*" >&2; exit 2; }

"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes \
    -r requirements/uv.lock 2>"$work/log" || { tail -n 5 "$work/log" >&2; exit 2; }

# The folder of pip's sources that has torch's CPU wheel, else PyTorch's own index. It serves torch and nothing else: an
# index beside the ordinary one could offer a package of any name, in a higher version.
torch_index() {
    local place
    for place in ${PIP_FIND_LINKS:-}; do
        if compgen -G "$place/torch-*+cpu-*.whl" >/dev/null; then
            printf 'url = "%s"\nformat = "flat"\n' "$place"
            return
        fi
    done
    printf 'url = "%s"\n' "$cpu_index"
}

# compile DEVICE OPTION...: one version of a package for all Pythons ("fewest"), so that what is tested on one runs on all.
# No index but the ordinary one is asked, whatever the shell or a configuration says.
compile() {
    env -u UV_INDEX -u UV_EXTRA_INDEX_URL -u UV_FIND_LINKS -u UV_CONFIG_FILE "$work/venv/bin/uv" pip compile --quiet \
        --no-config --universal --python-version 3.11 --fork-strategy fewest --index-strategy first-index \
        --only-binary :all: --generate-hashes --no-annotate --no-header --extra "$1" --extra trackers --extra docs --extra dev \
        --output-file "$work/$1.lock" "${@:2}"
}

# head LOCK SENTENCE
head_of() {
    echo "# Made by \`make lock\` from pyproject.toml and requirements/; do not edit. Universal: one version each for Python 3.11"
    echo "# to 3.13 on Linux (x86_64, aarch64). Installed with --no-deps --require-hashes by scripts/install.sh. $1"
}

# ---- the CPU set

pinned=$(sed -n 's/^torch==//p' requirements/cpu.in)
hashes=$(grep -F -- "torch-$pinned-" requirements/torch.sha256 | cut -d' ' -f1) ||
    die "requirements/torch.sha256 has no wheel of torch $pinned, which requirements/cpu.in names; add what $cpu_index lists."

# uv reads where torch may come from out of a project file.
{ cat pyproject.toml; printf '\n[tool.uv.sources]\ntorch = { index = "torch-cpu" }\n\n[[tool.uv.index]]\nname = "torch-cpu"\n'
  torch_index; echo "explicit = true"; } >"$work/pyproject.toml"
unlisted=()
for package in $dropped; do unlisted+=(--no-emit-package "$package"); done
cp requirements/cpu.lock "$work/cpu.lock" 2>/dev/null || true # the versions to keep
compile cpu ${UPGRADE:+--upgrade} --override requirements/cpu.override "${unlisted[@]}" \
    "$work/pyproject.toml" requirements/cpu.in

# torch's hashes are those of torch.sha256, for all Pythons and both processors, whatever the folder above had.
{
    head_of "Left out on purpose: $dropped."
    awk -v hashes="$hashes" '
        /^[^ ]/ { inside = /^torch==/; line = $0; if (inside) { printf "%s", $0; n = split(hashes, all, "\n")
            for (i = 1; i <= n; i++) printf "%s--hash=sha256:%s", (i == 1 ? "\n    " : " \\\n    "), all[i]; print "" } }
        !inside { print }' "$work/cpu.lock"
} >"$work/cpu.done"

# ---- the CUDA set: the CPU set's versions wherever vLLM's own wheel allows them

grep -v -e '^#' -e '^torch==' -e '^intel-' requirements/cpu.in >"$work/close.in"
cp "$work/cpu.done" "$work/cuda.lock"
compile cuda pyproject.toml "$work/close.in"
{ head_of "Needs an NVIDIA GPU."; cat "$work/cuda.lock"; } >"$work/cuda.done"

for device in cpu cuda; do
    mv "$work/$device.done" "requirements/$device.lock"
    echo "requirements/$device.lock: $(grep -c '^[^ #]*==' "requirements/$device.lock") packages"
done
