"""How the control endpoint reads what it is sent."""

from typing import Any

from starlette.requests import Request

from relay.simulator.deeds import ActionError


async def json_body(request: Request) -> dict[str, Any]:
    """The JSON object sent, or an empty one."""
    if not await request.body():
        return {}
    body = await request.json()
    if not isinstance(body, dict):
        raise ActionError("the body must be a JSON object")
    return body
