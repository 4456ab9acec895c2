"""One page of the browser, used as a person does: by labels and texts, with real clicks and keys.

Everything works with JavaScript off too: the page's own scripts then do not run, ours through the protocol still do.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

Send = Callable[..., Awaitable[dict[str, Any]]]

WITHIN = 15.0
_LOOK_AGAIN = 0.02

# What a person could see and press: laid out, not hidden, and its text is this (or begins so, for a label).
_FIND = """
(css, text) => {
  const seen = one => one.getClientRects().length > 0 && getComputedStyle(one).visibility === "visible";
  const words = one => (one.innerText || one.value || "").trim().replace(/\\s+/g, " ");
  const found = [...document.querySelectorAll(css)].filter(seen);
  return text === null ? found[0] : found.find(one => words(one) === text);
}
"""
_FIND_FIELD = """
(label) => {
  const seen = one => one.getClientRects().length > 0 && getComputedStyle(one).visibility === "visible";
  return [...document.querySelectorAll("input, select, textarea")].filter(seen).find(one =>
    [...(one.labels || [])].some(l => l.innerText.trim().replace(/\\s+/g, " ").startsWith(label)));
}
"""


@dataclass(slots=True)
class Wrongs:
    """What no page may do; empty lists are what is wanted."""

    errors: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.errors or self.violations or self.foreign)


class ProtocolError(Exception):
    """Chromium refused a command."""


class NotThere(AssertionError):
    """The page has no such element, or not in time."""


class Page:
    """`base` is the only host that this page may ask."""

    def __init__(self, base: str, send: Send) -> None:
        self.base = base
        self.send = send
        self.wrongs = Wrongs()
        self.status = 0
        self._loads = 0
        self._host = urlsplit(base).netloc

    async def prepare(self, *, javascript: bool) -> None:
        for domain in ("Page", "Runtime", "Network", "Log", "Audits", "DOM"):
            await self.send(f"{domain}.enable")
        if not javascript:
            await self.send("Emulation.setScriptExecutionDisabled", value=True)

    async def look_as(self, *, width: int, height: int, dark: bool) -> None:
        """The size of the window in CSS pixels, and what the system prefers."""
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.send("Emulation.setEmulatedMedia", features=[scheme])

    # What it says of itself ------------------------------------------------------------------------

    def heard(self, method: str, content: dict[str, Any]) -> None:
        """Take one event of the protocol."""
        match method:
            case "Page.loadEventFired":
                self._loads += 1
            case "Network.requestWillBeSent":
                self._asked(content["request"]["url"])
            case "Network.responseReceived" if content["type"] == "Document":
                self.status = content["response"]["status"]
            case "Runtime.exceptionThrown":
                details = content["exceptionDetails"]
                self.wrongs.errors.append(details.get("exception", {}).get("description") or details["text"])
            case "Runtime.consoleAPICalled" if content["type"] in ("error", "assert"):
                self.wrongs.errors.append(" ".join(str(one.get("value")) for one in content["args"]))
            case "Log.entryAdded" if content["entry"]["level"] == "error":
                entry = content["entry"]
                self.wrongs.errors.append(f"{entry['text']} {entry.get('url', '')}".strip())
            case "Audits.issueAdded" if "contentSecurityPolicyIssueDetails" in content["issue"]["details"]:
                self.wrongs.violations.append(json.dumps(content["issue"]["details"]))

    def _asked(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "about", "blob") and parts.netloc != self._host:
            self.wrongs.foreign.append(url)

    def forgive(self, words: str) -> None:
        """Strike one error that the test has called for, such as the status of a refusal."""
        found = [one for one in self.wrongs.errors if words in one]
        assert found, f"there was no error with {words!r}: {self.wrongs.errors}"
        self.wrongs.errors.remove(found[0])

    # Reading ---------------------------------------------------------------------------------------

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page."""
        found = await self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in found:
            raise NotThere(f"{expression[:200]}: {found['exceptionDetails']}")
        return found["result"].get("value")

    async def beside(self, script: str) -> Any:
        """The value, or that of the promise, of a script that sees the page, but is not one of its scripts."""
        frame = (await self.send("Page.getFrameTree"))["frameTree"]["frame"]["id"]
        world = await self.send("Page.createIsolatedWorld", frameId=frame, worldName="beside")
        context = world["executionContextId"]
        found = await self.send(
            "Runtime.evaluate", expression=script, contextId=context, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    async def text(self, css: str = "body") -> str:
        """What a person reads there, white space as single spaces."""
        return str(
            await self.evaluate(f"(document.querySelector({json.dumps(css)})?.innerText ?? '').replace(/\\s+/g, ' ')")
        )

    async def texts(self, css: str) -> list[str]:
        """The text of each element."""
        found = await self.evaluate(
            f"[...document.querySelectorAll({json.dumps(css)})].map(one => one.innerText.trim().replace(/\\s+/g, ' '))"
        )
        return [str(one) for one in found]

    @property
    async def path(self) -> str:
        return str(await self.evaluate("location.pathname"))

    async def until(self, expression: str, *, within: float = WITHIN) -> None:
        """Until an expression is true in the page; fails with what the page says instead."""
        end = time.monotonic() + within
        while True:
            try:
                if await self.evaluate(f"Boolean({expression})"):
                    return
            except (ProtocolError, NotThere) as error:  # a page that is just being replaced has no context
                if time.monotonic() > end:
                    raise NotThere(f"{expression}: {error}") from error
            if time.monotonic() > end:
                raise NotThere(
                    f"after {within:g} s still not {expression}; the page says: {(await self.text())[:1500]}"
                )
            await asyncio.sleep(_LOOK_AGAIN)

    async def says(self, words: str, css: str = "body", *, within: float = WITHIN) -> None:
        """Until these words stand there."""
        where = f"document.querySelector({json.dumps(css)})?.innerText.replace(/\\s+/g, ' ')"
        await self.until(f"{where}?.includes({json.dumps(words)})", within=within)

    # Acting ----------------------------------------------------------------------------------------

    @asynccontextmanager
    async def loading(self, *, within: float = WITHIN) -> AsyncIterator[None]:
        """What is done inside leads to another page: wait until that has loaded."""
        before = self._loads
        yield
        end = time.monotonic() + within
        while self._loads == before:
            if time.monotonic() > end:
                raise NotThere(f"no page was loaded within {within:g} s; the page says: {(await self.text())[:1500]}")
            await asyncio.sleep(_LOOK_AGAIN)

    async def open(self, path: str, *, status: int = 200) -> None:
        """Load a page of the host."""
        async with self.loading():
            found = await self.send("Page.navigate", url=self.base + path)
            assert "errorText" not in found, f"{path}: {found['errorText']}"
        assert self.status == status, f"{path}: {self.status} {(await self.text())[:500]}"

    async def click(self, css: str, text: str | None = None) -> None:
        """Press the first visible element of that kind, with that text if one is given."""
        await self._press(f"({_FIND})({json.dumps(css)}, {json.dumps(text)})", f"{css} {text or ''}")

    async def follow(self, text: str, css: str = "a") -> None:
        """Press a link and wait for its page."""
        async with self.loading():
            await self.click(css, text)

    async def submit(self, button: str) -> None:
        """Press a button that sends its form, and wait for the page that comes."""
        async with self.loading():
            await self.click("button", button)

    async def unfold(self, summary: str) -> None:
        """Open what is folded."""
        await self.click("summary", summary)
        await self.until(
            f"[...document.querySelectorAll('details[open] > summary')]"
            f".some(one => one.innerText.trim() === {json.dumps(summary)})"
        )

    async def unfold_if_folded(self, summary: str) -> None:
        """Open what may be open already, because the page thinks that it is what one came for."""
        if summary not in await self.texts("details[open] > summary"):
            await self.unfold(summary)

    async def fill(self, label: str, value: str) -> None:
        """Type into the field with this label, over what it holds."""
        handle = await self._handle(f"({_FIND_FIELD})({json.dumps(label)})", f"a field {label!r}")
        function = "function() { this.focus(); if (this.select) this.select(); }"
        await self.send("Runtime.callFunctionOn", objectId=handle, functionDeclaration=function)
        await self.send("Input.insertText", text=value)

    async def choose(self, label: str, value: str) -> None:
        """Choose in the list with this label."""
        handle = await self._handle(f"({_FIND_FIELD})({json.dumps(label)})", f"a list {label!r}")
        function = "function(v) { this.value = v; this.dispatchEvent(new Event('change', {bubbles: true})); }"
        await self.send(
            "Runtime.callFunctionOn", objectId=handle, functionDeclaration=function, arguments=[{"value": value}]
        )

    async def tick(self, label: str) -> None:
        """Press the box whose label begins so."""
        await self._press(f"({_FIND_FIELD})({json.dumps(label)})", f"a box {label!r}")

    async def type(self, text: str) -> None:
        """Type where the focus is."""
        await self.send("Input.insertText", text=text)

    async def key(self, name: str) -> None:
        """One key, such as "Tab" or "Enter"."""
        code = {"Tab": 9, "Enter": 13, " ": 32}[name]
        more = {"text": "\r"} if name == "Enter" else {"text": " "} if name == " " else {}
        for kind in ("keyDown", "keyUp"):
            await self.send(
                "Input.dispatchKeyEvent",
                type=kind,
                key=name,
                code="Space" if name == " " else name,
                windowsVirtualKeyCode=code,
                **(more if kind == "keyDown" else {}),
            )

    async def _press(self, expression: str, what: str) -> None:
        handle = await self._handle(expression, what)
        await self.send("DOM.scrollIntoViewIfNeeded", objectId=handle)
        quads = (await self.send("DOM.getContentQuads", objectId=handle))["quads"]
        left, top, _, _, right, bottom, _, _ = quads[0]
        place = {"x": (left + right) / 2, "y": (top + bottom) / 2, "button": "left", "clickCount": 1}
        await self.send("Input.dispatchMouseEvent", type="mousePressed", **place)
        await self.send("Input.dispatchMouseEvent", type="mouseReleased", **place)

    async def _handle(self, expression: str, what: str) -> str:
        """The element, once it is there."""
        await self.until(expression)
        found = (await self.send("Runtime.evaluate", expression=expression))["result"]
        if "objectId" not in found:
            raise NotThere(f"there is no {what}")
        return str(found["objectId"])

    # Pictures --------------------------------------------------------------------------------------

    async def picture(self, *, whole: bool = True, most: int = 4000) -> bytes:
        """A PNG of the window, or of the whole page up to `most` pixels down."""
        clip = {}
        if whole:
            size = (await self.send("Page.getLayoutMetrics"))["cssContentSize"]
            clip = {"clip": {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], most), "scale": 1}}
        found = await self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **clip)
        return base64.b64decode(found["data"])
