"""Every page, light and dark, wide and narrow: a clean console, no foreign host, no grave complaint of axe."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from tests.browser.axe import FILE, grave
from tests.browser.chromium import Chromium
from tests.browser.page import Page
from tests.browser.pages import furnish, paths, patterns
from tests.browser.world import World

NARROW = 390


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def furnished(world: World) -> Mapping[str, str]:
    return paths(await furnish(world))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def admins(world: World) -> AsyncIterator[Page]:
    """A page that an administrator has signed in to, for all that only look."""
    async with world.page("admin") as page:
        yield page


# The addresses need ids that are known only once there is a world; their names are known before.
@pytest.mark.parametrize("pattern", [*patterns(), "/events filtered", "/deliveries dead", "/deliveries parked"])
async def test_a_page_is_sound(world: World, admins: Page, furnished: Mapping[str, str], pattern: str) -> None:
    """No error, no violation, no other host; readable by machines; nothing wider than a phone; one first heading."""
    async with AsyncExitStack() as stack:
        page = await stack.enter_async_context(world.page()) if pattern == "/sign-in" else admins
        await page.look_as(width=1280, height=900, dark=False)
        await page.open(furnished[pattern])
        assert await page.evaluate("document.querySelectorAll('h1').length") == 1
        assert await page.evaluate("document.title.length > 15 && document.documentElement.lang === 'en'")
        assert await grave(page) == []
        await page.look_as(width=1280, height=900, dark=True)
        assert await page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
        assert await grave(page, only=("color-contrast",)) == []
        await page.look_as(width=NARROW, height=844, dark=False)
        assert await page.evaluate("document.documentElement.scrollWidth") <= NARROW
        assert await grave(page, only=("color-contrast", "link-name", "button-name")) == []
        assert not page.wrongs


async def test_a_page_of_an_error_is_sound(world: World) -> None:
    """What is not there says so on a page that is as sound as the others."""
    async with world.page("admin") as page:
        for path in ("/events/evt_00000000000000000000000000", "/no-such-page"):
            await page.open(path, status=404)
            page.forgive("status of 404")
            assert await grave(page) == []


async def test_the_keyboard_is_enough(world: World) -> None:
    """Signing in, the way past the menu, and a filter, with keys alone; what has the focus is seen to have it."""
    async with world.page() as page:
        await page.open("/sign-in")
        assert await page.evaluate("document.activeElement.name") == "name"
        await page.type("operator-user")
        await page.key("Tab")
        await page.type("the password of operator")
        async with page.loading():
            await page.key("Enter")
        await page.open("/events")
        await page.key("Tab")
        assert await page.evaluate("document.activeElement.innerText") == "Skip to the content"
        assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
        await page.key("Enter")
        await page.key("Tab")
        assert await page.evaluate("document.activeElement.name") == "type"
        await page.type("planday.never.*")
        async with page.loading():
            await page.key("Enter")
        await page.says("No event fits.")


async def test_the_driver_sees_what_is_wrong(browser: Chromium, world: World) -> None:
    """What these tests rely on: an error, a broken rule, another host and a colour nobody can read are all noticed."""
    async with AsyncExitStack() as stack:
        page = await stack.enter_async_context(browser.page(world.relay.url))
        await page.open("/sign-in")
        assert not page.wrongs
        await page.evaluate("console.error('on purpose')")
        await page.evaluate("void fetch('http://elsewhere.example/').catch(() => {})")
        await page.evaluate("document.body.appendChild(document.createElement('script')).textContent = '1'; 1")
        await page.evaluate("document.body.appendChild(new Image()).src = 'http://127.0.0.1:9/pixel'; 1")
        await page.evaluate("document.querySelector('label').style.color = '#f4f4f4'")
        assert [one["id"] for one in await grave(page)] == ["color-contrast", "image-alt"]
        assert "on purpose" in page.wrongs.errors
        assert len(page.wrongs.violations) >= 3


def test_what_is_vendored_is_what_was_fetched() -> None:
    """The file is the one whose hash NOTICE.md has."""
    notice = FILE.with_name("NOTICE.md").read_text(encoding="utf-8")
    assert f"| {FILE.name} |" in notice
    assert hashlib.sha256(FILE.read_bytes()).hexdigest() in notice
