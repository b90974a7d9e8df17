#!/bin/bash
# Makes a Python environment with the packages from PyPI that tests drive the switch with, unless it is there already.
#   install-python-packages.sh [DIR]      default: .build/python beside this script's directory, where tests look for it
set -euo pipefail
cd "$(dirname "$0")/.."
directory=${1:-.build/python}

# Exact versions: what they send is what the tests were written for.
packages="ovs==3.7.0 ovsdbapp==3.0.0"

if [ "$(cat "$directory/packages" 2>/dev/null)" = "$packages" ]; then
  exit 0
fi
echo "Making the Python environment in $directory: $packages"
python3 -m venv "$directory"
# shellcheck disable=SC2086
"$directory/bin/pip" install --quiet --disable-pip-version-check $packages
echo "$packages" > "$directory/packages"
