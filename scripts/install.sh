#!/usr/bin/env bash
# Installs doubleback and all it needs into .venv; says so and stops where that is already done.
#   PYTHON=python3.12   the interpreter. Default: the one .venv has, else the first below that serves.
#   DEVICE=cpu|cuda     Default: what .venv was made for, else cuda where nvidia-smi lists a GPU.
#   --plan              print what would be done; change nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
# pip would leave no .pyc files behind, and every `import vllm` would take 13 s instead of 5.
unset PYTHONDONTWRITEBYTECODE

plan=${1:-}
log=.venv/install.log
cpu_index=https://download.pytorch.org/whl/cpu
torch=$(grep -o '^torch==[^ ;]*' requirements/cpu.lock)

say() { printf 'doubleback: %s\n' "$*"; }
die() { say "$*" >&2; exit 2; }

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || echo missing; }

serves() { case $1 in 3.11 | 3.12 | 3.13) ;; *) return 1 ;; esac; }

check_platform() {
    case "$(uname -s)-$(uname -m)" in
        Linux-x86_64 | Linux-aarch64) ;;
        *) die "vLLM's CPU wheels are for Linux on x86_64 or aarch64, this is $(uname -s) on $(uname -m);" \
            "use WSL 2 on Windows, a Linux container on macOS." ;;
    esac
}

find_python() {
    local candidate version tried=""
    # The interpreter behind .venv, not the link in it: .venv may have to be made anew.
    if [ -z "${PYTHON:-}" ] && serves "$(version_of .venv/bin/python)"; then readlink -f .venv/bin/python; return; fi
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        version=$(version_of "$candidate")
        if serves "$version"; then echo "$candidate"; return; fi
        tried="$tried${tried:+, }$candidate ($version)"
    done
    die "Python 3.11 to 3.13 is needed; tried $tried. Point at one with: make install PYTHON=python3.12"
}

choose_device() {
    case ${DEVICE:-} in
        cpu | cuda) echo "$DEVICE" ;;
        "") if [ -f .venv/made-for ]; then cut -d' ' -f1 .venv/made-for
            elif nvidia-smi -L 2>/dev/null | grep -q '^GPU '; then echo cuda
            else echo cpu; fi ;;
        *) die "DEVICE=$DEVICE is neither cpu nor cuda." ;;
    esac
}

# .venv is made anew for another Python or device, or where the checkout was moved or copied: its scripts hold paths.
is_venv_ours() {
    [ "$(version_of .venv/bin/python)" = "$version" ] || return 1
    [ ! -f .venv/made-for ] || [ "$(cat .venv/made-for)" = "$made_for" ]
}

make_venv() {
    if [ -n "$plan" ]; then echo "$python -m venv --clear .venv"; return; fi
    if ! "$python" -m venv --clear .venv >/dev/null; then
        rm -rf .venv # half of one would pass for a whole one on the next run
        die "$python cannot make a virtual environment; on Debian and Ubuntu that takes the package python3-venv."
    fi
}

pip_install() {
    if [ -n "$plan" ]; then echo "pip install $*"; return; fi
    .venv/bin/python -m pip install --compile --no-input --progress-bar off "$@" >>"$log" 2>&1
}

fail() {
    tail -n 15 "$log" >&2
    die "pip failed, its last lines are above and all of them in $log. $*"
}

# Unlike pip's other failures: its sources answered, and none has the wheel.
is_torch_missing() {
    grep -qF "No matching distribution found for $torch" "$log" && ! grep -qF 'Retrying (Retry(' "$log"
}

# Wheels alone, each with a hash of the lock: no index, the ordinary one included, can put another file in a package's
# place, and nothing is built, so that no code of a package runs before it is compared.
pip_install_locked() { pip_install --no-deps --only-binary :all: --require-hashes "$@"; }

# torch goes first and alone: a missing wheel shows at once, and PyTorch's index, should it be needed, serves nothing
# else. It is not named on the first try: where it cannot be reached, pip waits for it for minutes.
install_cpu() {
    [ -n "$plan" ] || sed -n '/^torch==/,/[^\\]$/p' requirements/cpu.lock >.venv/torch.lock
    if ! pip_install_locked -r .venv/torch.lock; then
        is_torch_missing || fail "Fix what it names and run make install again."
        say "pip's sources have no $torch; trying again with PyTorch's own CPU index, $cpu_index"
        pip_install_locked --retries 1 --extra-index-url "$cpu_index" -r .venv/torch.lock ||
            fail "$torch for Python $version was not to be had from $cpu_index either;" \
                "PIP_FIND_LINKS can name a folder that has it."
    fi
    pip_install_locked -r requirements/cpu.lock || fail "Fix what it names and run make install again."
    install_ourselves
}

install_cuda() {
    pip_install_locked -r requirements/cuda.lock ||
        fail "Fix what it names, or install for the CPU: make install DEVICE=cpu"
    install_ourselves
}

# With the setuptools of the lock, and from nowhere but this folder.
install_ourselves() {
    pip_install --no-deps --no-index --no-build-isolation -e . || fail "Fix what it names and run make install again."
}

check_platform
python=$(find_python)
version=$(version_of "$python")
device=$(choose_device)
made_for="$device Python $version $PWD"
# The lock of another device, or of the tools that make them, changes nothing that is installed here.
made_from=$(cat pyproject.toml "requirements/$device.lock" scripts/install.sh | sha256sum)

if is_venv_ours; then
    if [ "$(cat .venv/made-from 2>/dev/null)" = "$made_from" ]; then
        say ".venv is up to date ($device, Python $version)"
        exit 0
    fi
else
    make_venv
fi
if [ -n "$plan" ]; then
    "install_$device"
    exit 0
fi
say "installing for $device on Python $version into .venv: about 3 GB and a few minutes on a CPU, more for cuda"
rm -f .venv/made-from
echo "$made_for" >.venv/made-for
: >"$log"
"install_$device"
echo "$made_from" >.venv/made-from
say "installed; try: make demo"
