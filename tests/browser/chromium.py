"""A headless Chromium of our own, driven over the DevTools protocol; nothing in it can leave the loopback.

    async with Chromium() as browser, browser.page("http://127.0.0.1:8000") as page:
        await page.open("/sign-in")
        await page.fill("Name", "ida")
        await page.submit("Sign in")

What a page must not do is noted while it happens: `Page.wrongs`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from tests.browser.page import Page, ProtocolError

_START = 30.0
_ANSWER = 30.0
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless=new",
    "--remote-debugging-port=0",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-gpu",
    "--disable-sync",
    "--hide-scrollbars",
    "--lang=en-GB",
    "--mute-audio",
    "--no-pings",
    "--password-store=basic",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)

Listener = Callable[[str, dict[str, Any]], None]


def binary() -> str | None:
    """Where this machine's Chromium is, or None."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


class Chromium:
    """One browser process with a profile of its own; each page gets cookies of its own."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._listeners: dict[str, Listener] = {}

    async def __aenter__(self) -> Self:
        self._start()
        try:
            address = await self._address()
            self._session = aiohttp.ClientSession()
            self._socket = await self._session.ws_connect(address, max_msg_size=0)
        except BaseException:
            self._end()
            raise
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(ProtocolError, TimeoutError, ConnectionError):
            await self.send("Browser.close")
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self._socket.close()
        await self._session.close()
        await asyncio.to_thread(self._end)

    def _start(self) -> None:
        place = binary()
        if place is None:
            raise FileNotFoundError("there is no Chromium on this machine")
        self._folder = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        folder = Path(self._folder.name)
        self._output, self._port = folder / "output.txt", folder / "profile" / "DevToolsActivePort"
        # Root has no sandbox there; what is opened is only our own dashboard.
        sandbox = ("--no-sandbox",) if os.geteuid() == 0 else ()
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [place, *_FLAGS, *sandbox, f"--user-data-dir={folder / 'profile'}", "about:blank"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "HOME": str(folder), "TZ": "Europe/Copenhagen"},
                start_new_session=True,
            )

    def _end(self) -> None:
        """End the process and what it has started: its session is of its own."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(3)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)
        self._folder.cleanup()

    async def _address(self) -> str:
        """Where it listens, once it says so."""
        async with asyncio.timeout(_START):
            while True:
                if found := self._listens_at():
                    return found
                await asyncio.sleep(0.02)

    def _listens_at(self) -> str | None:
        lines = self._port.read_text().split() if self._port.exists() else []
        if len(lines) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        if self._process.poll() is not None:
            raise RuntimeError(f"Chromium ended at its start:\n{self._output.read_text(errors='replace')[-2000:]}")
        return None

    # The protocol ----------------------------------------------------------------------------------

    async def send(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """One command and its result. Raises ProtocolError, and TimeoutError when nothing came back."""
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": parameters}
        await self._socket.send_str(json.dumps(message | ({"sessionId": session} if session else {})))
        try:
            async with asyncio.timeout(_ANSWER):
                found = await answer
        finally:
            del self._waiting[number]
        if "error" in found:
            raise ProtocolError(f"{method}: {found['error'].get('message')}")
        result: dict[str, Any] = found["result"]
        return result

    async def _read(self) -> None:
        async for message in self._socket:
            content = json.loads(message.data)
            if "id" in content:
                answer = self._waiting.get(content["id"])
                if answer is not None and not answer.done():
                    answer.set_result(content)
            elif listener := self._listeners.get(content.get("sessionId", "")):
                listener(content["method"], content["params"])

    # Pages -----------------------------------------------------------------------------------------

    @asynccontextmanager
    async def page(
        self, base: str, *, javascript: bool = True, width: int = 1280, height: int = 900, dark: bool = False
    ) -> AsyncIterator[Page]:
        """A page on this host with cookies of its own."""
        context = (await self.send("Target.createBrowserContext"))["browserContextId"]
        try:
            target = await self.send("Target.createTarget", url="about:blank", browserContextId=context)
            attached = await self.send("Target.attachToTarget", targetId=target["targetId"], flatten=True)
            session = attached["sessionId"]

            async def send(method: str, **parameters: Any) -> dict[str, Any]:
                return await self.send(method, session, **parameters)

            page = Page(base, send)
            self._listeners[session] = page.heard
            await page.prepare(javascript=javascript)
            await page.look_as(width=width, height=height, dark=dark)
            try:
                yield page
            finally:
                del self._listeners[session]
        finally:
            await self.send("Target.disposeBrowserContext", browserContextId=context)
