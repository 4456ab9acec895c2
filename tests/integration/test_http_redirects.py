"""A far side cannot send a request on: redirects are answers, wherever they point to."""

from __future__ import annotations

from ipaddress import ip_network

import httpx
import pytest

from relay.events import Outcome
from relay.http import AddressPolicy, OutgoingTransport
from relay.targets.answers import judge
from tests.servers import Server, answer

POLICY = AddressPolicy(allow_networks=(ip_network("127.0.0.0/8"),), allow_http=True)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_no_redirect_is_followed(status: int, method: str) -> None:
    """Not even to an address that the same policy allows: nobody there hears of it, and the target is called broken."""
    async with Server(answer(200, b"ok")) as inner:
        location = f"http://127.0.0.1:{inner.port}/admin?token=s3cret"
        async with Server(answer(status, b"", f"location: {location}")) as far, OutgoingTransport(POLICY) as transport:
            found = await transport.send(httpx.Request(method, f"http://127.0.0.1:{far.port}/", content=b"{}"))
    assert (found.status_code, far.count, inner.connections) == (status, 1, 0)
    verdict = judge(found, now=0.0)
    assert verdict.outcome is Outcome.TARGET_BROKEN
    assert "redirect to 127.0.0.1" in verdict.reason
    assert "s3cret" not in verdict.reason


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "https://[fd00:ec2::254]/",
        "//127.0.0.1:6379/",
        "/elsewhere",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "http://0x7f.1/",
        "http://[::1",
        "",
    ],
)
async def test_wherever_it_points_it_is_only_an_answer(location: str) -> None:
    """One request, one answer; what cannot be read as an address is not shown either."""
    async with Server(answer(302, b"", f"location: {location}")) as far, OutgoingTransport(POLICY) as transport:
        found = await transport.send(httpx.Request("POST", f"http://127.0.0.1:{far.port}/", content=b"{}"))
    assert (found.status_code, far.count) == (302, 1)
    assert judge(found, now=0.0).outcome is Outcome.TARGET_BROKEN
