"""Whether a form was sent from a page of ours: by what the browser says of its origin, and by the session's token."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from urllib.parse import urlsplit


def is_same_origin(headers: Mapping[str, str], *, public_url: str | None) -> bool:
    """By `Sec-Fetch-Site`, which no page can forge; where a browser sends none, by `Origin`. Neither: no.

    `Origin` must be the host that was asked, or the public address where a proxy asks under another name.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = urlsplit(headers.get("origin", ""))
    if origin.scheme not in ("http", "https") or not origin.netloc:
        return False
    hosts = {headers.get("host", "").lower()}
    if public_url is not None:
        hosts.add(urlsplit(public_url).netloc.lower())
    return origin.netloc.lower() in hosts


def is_token(given: str, expected: str) -> bool:
    """In constant time."""
    return hmac.compare_digest(given.encode(), expected.encode())
