#!/bin/sh
# Fetch the dashboard's vendored scripts anew (needs npm). Then put their sha256 into NOTICE.md; a test compares.
set -eu
static="$(dirname "$0")/../relay/web/dashboard/static"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
fetch() { # package version path-in-package name-here
  (cd "$work" && npm pack --silent "$1@$2" >/dev/null && tar xzf "$1-$2.tgz")
  cp "$work/package/$3" "$static/$4"
  rm -rf "$work/package"
}
fetch htmx.org 2.0.11 dist/htmx.min.js htmx-2.0.11.min.js
fetch htmx-ext-sse 2.2.4 dist/sse.min.js htmx-ext-sse-2.2.4.min.js
sha256sum "$static"/*.min.js
