#!/bin/sh
# Fetch the vendored scripts anew (needs npm). Then put their sha256 into the NOTICE.md beside them; tests compare.
set -eu
root="$(cd "$(dirname "$0")/.." && pwd)"
static="$root/relay/web/dashboard/static"
tests="$root/tests/browser/vendor"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
fetch() { # package version path-in-package where-here
  (cd "$work" && npm pack --silent "$1@$2" >/dev/null && tar xzf "$1-$2.tgz")
  cp "$work/package/$3" "$4"
  rm -rf "$work/package"
}
fetch htmx.org 2.0.11 dist/htmx.min.js "$static/htmx-2.0.11.min.js"
fetch htmx-ext-sse 2.2.4 dist/sse.min.js "$static/htmx-ext-sse-2.2.4.min.js"
fetch axe-core 4.14.1 axe.min.js "$tests/axe-4.14.1.min.js"
sha256sum "$static"/*.min.js "$tests"/*.min.js
