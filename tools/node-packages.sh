#!/bin/sh
# Installs the Node packages at the versions of package-lock.json.
set -eu
cd "$(dirname "$0")/.."
if ! node -e 'process.exit(process.versions.node.split(".")[0] >= 20 ? 0 : 1)' 2>/dev/null; then
    echo "gemtab's page is built with Node.js 20 or newer; found: $(node --version 2>/dev/null || echo none)." >&2
    exit 1
fi
npm ci --no-audit --no-fund
