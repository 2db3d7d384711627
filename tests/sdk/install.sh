#!/usr/bin/env bash
# Installs the SDKs that tests/e2e_sdk.rs runs, at the versions pinned beside this file:
#   tests/sdk/install.sh target/tmp/sdk
set -euo pipefail
dir=${1:?usage: install.sh DIR}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$dir/node"
dir=$(cd "$dir" && pwd)

# What is installed already is left as it is.
is_current() { cmp -s "$here/$1" "$dir/$1.installed"; }

if ! is_current requirements.txt; then
    rm -rf "$dir/python"
    python3 -m venv "$dir/python"
    "$dir/python/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
    cp "$here/requirements.txt" "$dir/requirements.txt.installed"
fi
if ! is_current package.json; then
    cp "$here/package.json" "$dir/node/package.json"
    npm install --prefix "$dir/node" --no-package-lock --no-audit --no-fund --silent
    cp "$here/package.json" "$dir/package.json.installed"
fi
