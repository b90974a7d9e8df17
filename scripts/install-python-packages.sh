#!/bin/bash
# Makes the Python environments with packages from PyPI that tests drive the switch with, unless they are there already:
# `python` (clients of the database) and `python-controllers` (os-ken and Faucet).
#   install-python-packages.sh [DIR]      default: .build beside this script's directory, where tests look for them
set -euo pipefail
cd "$(dirname "$0")/.."
directory=${1:-.build}

# Exact versions: what they send is what the tests were written for.
clients="ovs==3.7.0 ovsdbapp==3.0.0"
# Faucet brings os-ken 3.1, which has the program that starts apps, but no apps any more: those are of the last release that
# had them.
controllers="faucet==1.10.12 tinyrpc==1.0.4"
apps="os-ken==1.4.0"

# is_made NAME PACKAGES; environment NAME PACKAGES
is_made() { [ "$(cat "$directory/$1/packages" 2>/dev/null)" = "$2" ]; }
environment() {
  echo "Making the Python environment in $directory/$1: $2"
  python3 -m venv "$directory/$1"
  # shellcheck disable=SC2086
  "$directory/$1/bin/pip" install --quiet --disable-pip-version-check $2
}

if ! is_made python "$clients"; then
  environment python "$clients"
  echo "$clients" > "$directory/python/packages"
fi

if ! is_made python-controllers "$controllers $apps"; then
  environment python-controllers "$controllers"
  place=$directory/python-controllers
  download=$(mktemp -d)
  trap 'rm -rf "$download"' EXIT
  "$place/bin/pip" download --quiet --disable-pip-version-check --no-deps -d "$download" "$apps"
  "$place/bin/python3" -m zipfile -e "$download"/os_ken-*.whl "$download/wheel"
  packages=$("$place/bin/python3" -c 'import os_ken; print(os_ken.__path__[0])')
  for app in simple_switch_13 ofctl_rest rest_router wsgi; do
    cp "$download/wheel/os_ken/app/$app.py" "$packages/app/$app.py"
  done
  # Later versions of eventlet have it no more; it is a mark that nothing else is equal to.
  sed -i 's/from eventlet.wsgi import ALREADY_HANDLED/ALREADY_HANDLED = []/' "$packages/app/wsgi.py"
  echo "$controllers $apps" > "$place/packages"
fi
