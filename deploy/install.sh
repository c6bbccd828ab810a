#!/usr/bin/env bash
# Makes the virtual environment and installs the pinned requirements: deploy/install.sh [pins|serve|dev]
#
# `serve`, the default: what serving needs. `pins`: the same without this project itself, for a layer of
# the container image that stays. `dev`: the tools of `make check` and `make test` too.
# VENV names the environment (default .venv), PYTHON the interpreter to make it with, and
# DEVICE=cpu|cuda overrides the detection. A second run with unchanged requirements does nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
source deploy/lib.sh

venv=${VENV:-.venv}
device=${DEVICE:-$(detect_device)}
profile=${1:-serve}
case $device in cpu | cuda) ;; *) fail "DEVICE must be cpu or cuda, not '$device'" ;; esac
case $profile in pins | serve | dev) ;; *) fail "usage: deploy/install.sh [pins|serve|dev]" ;; esac

[[ $(cat "$venv/.stamp-$profile" 2>/dev/null) != "$(stamp "$device")" ]] || exit 0

if [[ $(cat "$venv/.stamp-pins" 2>/dev/null) != "$(stamp "$device")" ]]; then
    python=$(find_python)
    say "1/4 making $venv with $python ($("$python" --version)) for the $device set"
    [[ ! -e $venv || -e $venv/.made-by-install ]] || fail "$venv exists and was not made by this script; move it away, or name another folder with VENV="
    "$python" -m venv --clear "$venv" || fail "$python cannot make a virtual environment; on Debian and Ubuntu install python3-venv"
    touch "$venv/.made-by-install"
    if [[ $device == cpu ]]; then
        say "2/4 installing PyTorch for CPU"
        install_torch_cpu "$venv"
    else
        say "2/4 PyTorch for CUDA comes with the next step"
    fi
    say "3/4 installing the pinned serving set (deploy/requirements/$device.txt; minutes the first time)"
    install_pins "$venv" deploy/requirements/build.txt "deploy/requirements/$device.txt"
    stamp "$device" >"$venv/.stamp-pins"
fi
if [[ $profile != pins && $(cat "$venv/.stamp-serve" 2>/dev/null) != "$(stamp "$device")" ]]; then
    say "4/4 installing this project"
    [[ $device == cuda ]] || install_local "$venv" ./deploy/cpu
    install_local "$venv" --editable .
    [[ $device == cuda ]] || check_libnuma "$venv"
    stamp "$device" >"$venv/.stamp-serve"
fi
if [[ $profile == dev ]]; then
    say "installing the tools for checks and tests (deploy/requirements/dev.txt)"
    install_pins "$venv" deploy/requirements/dev.txt
    stamp "$device" >"$venv/.stamp-dev"
fi
say "$venv is ready"
