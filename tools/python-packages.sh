#!/bin/sh
# Usage: python-packages.sh core|test|real. Makes .venv and installs gemtab into it, editable, at the versions of
# constraints.txt: `core` is what the demo needs, `test` what the tests need, `real` that and the weights of
# `make test-real`.
set -eu

fail() {
    echo "$*" >&2
    exit 1
}

# The newest name first would pick interpreters without wheels for torch; plain python3 is what people mean.
find_python() {
    for name in python3 python3.13 python3.12 python3.11 python; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    fail "gemtab needs Python 3.11 or newer; none of python3, python3.13, python3.12, python3.11 is one."
}

make_environment() {
    [ -x .venv/bin/python ] && return
    python=$(find_python)
    "$python" -m venv .venv ||
        fail "$python could not make .venv; on Debian and Ubuntu, install the package python3-venv."
}

pip() {
    .venv/bin/python -m pip --disable-pip-version-check --quiet "$@"
}

# On Linux the default index may bring gigabytes of CUDA, which nothing here uses: PyTorch's own index of CPU builds
# is asked first, briefly, and where it cannot be reached the default one gives what it has.
install_torch() {
    .venv/bin/python -c 'import torch' 2>/dev/null && return
    echo "Installing torch…"
    if [ "$(uname)" = Linux ]; then
        pip --retries 0 --timeout 10 install --no-compile --no-deps --constraint constraints.txt \
            --index-url https://download.pytorch.org/whl/cpu torch 2>/dev/null && return
    fi
    pip install --no-compile --constraint constraints.txt torch
}

case "${1-}" in
core) package=. ;;
test) package='.[test]' ;;
real) package='.[real]' ;;
*) fail "Usage: $0 core|test|real" ;;
esac

cd "$(dirname "$0")/.."
make_environment
install_torch
echo "Installing the Python packages ($1)…"
pip install --no-compile --constraint constraints.txt --editable "$package"
.venv/bin/python -m compileall -q -j 0 .venv/lib >/dev/null || true # by all processors; some packages have files that do not compile
