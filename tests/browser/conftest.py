"""One world and one browser for all; without a Chromium nothing here runs, and every report says so."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.browser.chromium import Chromium, binary
from tests.browser.world import World, world_in

HERE = Path(__file__).parent
_NOT_RUN = "NOT RUN: the dashboard in a browser, since this machine has no Chromium (Debian: apt-get install chromium)"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE not in item.path.parents or not isinstance(item, pytest.Function):
            continue
        if not inspect.iscoroutinefunction(item.function):
            continue
        item.add_marker(pytest.mark.browser)
        item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)  # before the automatic one
        if binary() is None:
            item.add_marker(pytest.mark.skip(reason=_NOT_RUN))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Chromium]:
    async with Chromium() as started:
        yield started


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def world(browser: Chromium, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with world_in(tmp_path_factory.mktemp("browser"), browser) as made:
        yield made
