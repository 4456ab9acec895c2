#!/bin/sh
# Makes the virtual environment that the Makefile's targets use, and says what is missing when it cannot.
# Usage: venv.sh PYTHON FOLDER
set -eu
python=$1
venv=$2

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "planday-relay needs Python 3.11 or newer as '$python' (found: $("$python" --version 2>&1 || echo none))." >&2
    echo "Install it, or name another one: make PYTHON=python3.12 ..." >&2
    exit 2
fi
if ! "$python" -m venv "$venv" 2>/dev/null; then
    echo "This Python cannot make virtual environments. On Debian or Ubuntu: apt-get install python3-venv" >&2
    rm -rf "$venv"
    exit 2
fi
echo "Installing the locked dependencies into $venv (once; about a minute) ..." >&2
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
