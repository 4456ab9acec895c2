"""Signing in, with scripts and without."""

from __future__ import annotations

import pytest

from tests.browser.world import World, sign_in

SCRIPTS = pytest.mark.parametrize("javascript", [True, False], ids=["scripts", "no-scripts"])


@SCRIPTS
async def test_signs_in_and_out(world: World, javascript: bool) -> None:
    """The right password opens the overview; after signing out no page opens."""
    async with world.page("admin", javascript=javascript) as page:
        assert await page.path == "/"
        await page.says("admin-user")
        await page.submit("Sign out")
        await page.open("/events")
        assert await page.path == "/sign-in"


@SCRIPTS
async def test_refuses_a_wrong_password(world: World, javascript: bool) -> None:
    """A wrong password says so, keeps the name, and opens nothing."""
    async with world.page(javascript=javascript) as page:
        await sign_in(page, "admin", password="not the password")
        await page.says("password", "[role=alert]")
        assert await page.evaluate("document.querySelector('#name').value") == "admin-user"
        page.forgive(f"status of {page.status}")
        await page.open("/targets")
        assert await page.path == "/sign-in"
