# Functions of deploy/install.sh: finding Python and the GPU, and installing pinned packages with pip.

say() { printf '\033[1m[metacompress]\033[0m %s\n' "$*"; }
fail() { printf '[metacompress] error: %s\n' "$*" >&2; exit 1; }

detect_device() {
    if nvidia-smi -L 2>/dev/null | grep -q '^GPU '; then echo cuda; else echo cpu; fi
}

# The first interpreter that vLLM's builds support, the one that the pins were tried with first.
find_python() {
    local candidate
    for candidate in ${PYTHON:-python3.11 python3 python3.12 python3.13 python3.14}; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "needs Python 3.11 to 3.14, tried: ${PYTHON:-python3.11 python3 python3.12 python3.13 python3.14}"
}

# One line that changes whenever an installation has to be done again.
stamp() {
    echo "$1 $PWD $(cat deploy/install.sh deploy/lib.sh deploy/requirements/*.txt deploy/cpu/* pyproject.toml 2>/dev/null | cksum)"
}

# Installs requirement files as they stand, one counted line per package.
install_pins() {
    local venv=$1 total args=() file
    shift
    for file in "$@"; do args+=(--requirement "$file"); done
    total=$(cat "$@" | grep -c '==')
    "$venv/bin/pip" install --no-deps "${args[@]}" | show_progress "$total"
}

show_progress() {
    awk -v total="$1" '
        /^(Collecting|Processing|Requirement already satisfied)/ {
            name = $0
            sub(/^(Collecting|Processing|Requirement already satisfied:) /, "", name)
            sub(/ .*/, "", name)
            sub(/.*\//, "", name)
            sub(/-(cp|py)[0-9].*/, "", name)
            printf "  %3d/%s %s\n", ++n, total, name; fflush()
        }
        /^Installing collected packages/ { print "  unpacking (the longest step) ..."; fflush() }
    '
}

# The CPU build where pip can find it, else the build for CUDA, which runs on CPU too.
install_torch_cpu() {
    local venv=$1
    if "$venv/bin/pip" install --quiet --no-deps --requirement deploy/requirements/torch-cpu.txt 2>"$venv/torch-cpu.log"; then
        return
    fi
    say "pip got no CPU build of PyTorch here: $(grep -m 1 '^ERROR' "$venv/torch-cpu.log" | cut -c 1-90) ..."
    say "It is on PyTorch's own CPU wheel index: with PIP_EXTRA_INDEX_URL set to that index the installation is 3 GB smaller."
    say "Going on with the build for CUDA."
    "$venv/bin/pip" install torch===2.13.0 --constraint deploy/requirements/cuda.txt | show_progress "about 40"
}

install_local() {
    local venv=$1
    shift
    "$venv/bin/pip" install --quiet --no-deps --no-build-isolation "$@"
}

# The one library of the system that vLLM's CPU build is linked with and no wheel brings.
check_libnuma() {
    "$1/bin/python" -c 'import ctypes; ctypes.CDLL("libnuma.so.1")' 2>/dev/null ||
        fail "vLLM's CPU build needs libnuma.so.1; on Debian and Ubuntu: apt-get install libnuma1"
}
