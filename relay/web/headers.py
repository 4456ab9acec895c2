"""The headers of every page: nothing inline, nothing from elsewhere, framed by nobody, kept by nobody."""

from __future__ import annotations

from collections.abc import Mapping

_CSP = "; ".join(
    (
        *("default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:", "connect-src 'self'"),
        *("form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"),
    )
)
# `no-referrer` would make browsers send `Origin: null` with our own forms, and csrf.py needs the origin.
_ALWAYS: Mapping[str, str] = {
    "content-security-policy": _CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_A_YEAR = "max-age=31536000"


def page_headers(*, https: bool) -> dict[str, str]:
    """The headers of a page, which may show personal data; `https`: browsers shall never come without it again."""
    headers = {**_ALWAYS, "cache-control": "no-store"}
    return {**headers, "strict-transport-security": _A_YEAR} if https else headers


def static_headers() -> dict[str, str]:
    """The headers of a file whose address holds its hash."""
    return {**_ALWAYS, "cache-control": "public, max-age=31536000, immutable"}
