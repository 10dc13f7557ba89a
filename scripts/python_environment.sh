#!/bin/sh
# Makes the virtual environment given as $1 and installs Mirage into it, editable, with what its tests need.
set -eu
venv=$1

works() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    python=""
    for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
        if works "$candidate"; then python=$candidate; break; fi
    done
    if [ -z "$python" ]; then
        echo "Mirage needs Python 3.11 or newer and found none; install it (on Debian 12 or newer: sudo apt-get install python3 python3-venv) or name one with 'make run PYTHON=/path/to/python3'." >&2
        exit 1
    fi
    # Debian keeps ensurepip, which venv needs, in a package of its own.
    if ! "$python" -c 'import ensurepip' >/dev/null 2>&1; then
        EXTRA_PACKAGES="python3-venv" sh "$(dirname "$0")/system_libraries.sh"
    fi
    if ! "$python" -m venv --clear "$venv" >/dev/null 2>&1; then
        echo "Python could not make a virtual environment in $venv; on Debian install it with: sudo apt-get install python3-venv" >&2
        exit 1
    fi
fi

pip="$venv/bin/python -m pip --disable-pip-version-check"

# Without an NVIDIA GPU the default torch for Linux would bring several gigabytes of CUDA that nothing can use. Where pip is left at its
# defaults, torch is taken from its authors' CPU index first; where an index is configured, that index decides.
if [ "$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null 2>&1 \
    && ! $pip config list 2>/dev/null | grep -Eq 'index-url|find-links|no-index' \
    && ! $pip show torch >/dev/null 2>&1; then
    echo "No NVIDIA GPU found: taking the CPU build of torch."
    $pip install --quiet --retries 1 --timeout 15 --index-url https://download.pytorch.org/whl/cpu "torch>=2.9,<2.14" \
        || echo "The CPU index cannot be reached; taking torch from the default index."
fi

echo "Installing Mirage and what it needs into $venv (the first time takes a few minutes)."
# Bytecode is written when a module is first imported: compiling all of it now would take longer than unpacking.
$pip install --quiet --no-compile --editable ".[dev]"

echo "Compiling the parts that are compiled once."
"$venv/bin/python" -m mirage_app.warm || echo "That failed; Mirage compiles them when it first needs them." >&2
