"""Every page of the console shows where in the navigation it is: by one entry, for people and for screen readers."""

import importlib
import pkgutil
import re

from playwright.async_api import expect

import api.console
from api.console.pages import NAVIGATION
from tests.support.api_client import key_for
from tests.support.chromium import reading_at, running_chromium
from tests.support.console_browser import signed_in

# Before one has signed in there is no navigation, and the root leads on.
WITHOUT = {"/", "/console/sign-in", "/console/static/{name}"}
# What stands below the address of no entry.
ELSEWHERE = {"/console/payouts": "Marketplace"}


def pages():
    """The paths of the console that show something."""
    modules = [importlib.import_module(f"api.console.{one.name}") for one in pkgutil.iter_modules(api.console.__path__)]
    routes = [route for module in modules if hasattr(module, "router") for route in module.router.routes]
    return sorted({route.path for route in routes if "GET" in route.methods} - WITHOUT)


def entry_of(path):
    """The name of the entry that a page belongs to, by what its address begins with."""
    names = {address: name for address, name in NAVIGATION if address != "/console"}
    below = [name for address, name in names.items() if path == address or path.startswith(f"{address}/")]
    return ELSEWHERE.get(path) or (below[0] if below else "Overview")


async def test_every_page_shows_its_entry_and_no_other(vendor, pool):
    admin = await signed_in(vendor.api, await key_for(pool, "operations", ("read", "write", "admin")))
    seen_entries, found = set(), pages()
    assert {"/console", "/console/payouts", "/console/jobs/{job_id}"} <= {*found}
    for path in found:
        # There is nothing of this name: the page that says so stands in the same place.
        seen = await admin.get(re.sub(r"\{\w+\}", "nothing", path))
        if not seen.headers["Content-Type"].startswith("text/html"):
            continue
        current = re.findall(r'<li><a href="[^"]+" aria-current="page">([^<]+)</a></li>', seen.body)
        assert current == [entry_of(path)], path
        seen_entries |= {*current}
    assert seen_entries == {name for _, name in NAVIGATION}


async def test_the_entry_is_marked_before_ones_eyes(vendor, pool):
    key = await key_for(pool, "operations", ("read", "write", "admin"))
    async with running_chromium() as browser, reading_at(browser, vendor.api.url, key) as (page, complaints):
        page.set_default_timeout(30_000)
        expect.set_options(timeout=30_000)
        for path in (*(address for address, _ in NAVIGATION), *ELSEWHERE, "/console/requests/new", "/console/keys/new"):
            await page.goto(path)
            marked = page.locator("nav[aria-label=Pages] [aria-current=page]")
            await expect(marked).to_have_count(1)
            await expect(marked).to_have_text(entry_of(path))
        assert complaints == []
