"""axe-core's judgement of the page that is open; it runs beside the page's own scripts, under none of its rules."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from tests.browser.page import Page

FILE = Path(__file__).parent / "vendor" / "axe-4.14.1.min.js"
_GRAVE = ("serious", "critical")
_RUN = """
document.querySelectorAll("details").forEach(one => { one.open = true; });
axe.run(document, OPTIONS).then(found => JSON.stringify(found.violations.map(one => ({
  id: one.id, impact: one.impact, help: one.help,
  nodes: one.nodes.slice(0, 5).map(node => node.target.join(" ") + ": " + node.failureSummary)
}))))
"""


@cache
def _script() -> str:
    return FILE.read_text(encoding="utf-8")


async def grave(page: Page, *, only: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Its serious and critical violations, everything folded laid open; `only`: these rules."""
    options = {"runOnly": {"type": "rule", "values": list(only)}} if only else {}
    if await page.beside("typeof axe") == "undefined":
        await page.beside(_script() + ";0")
    found = await page.beside(_RUN.replace("OPTIONS", json.dumps(options)))
    return [one for one in json.loads(found) if one["impact"] in _GRAVE]
