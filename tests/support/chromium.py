"""A real browser, where there is one: Debian's Chromium, driven by Playwright."""

import contextlib
import shutil

import pytest

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip


def chromium_path():
    """Where Chromium is; skips the test where there is none."""
    if (path := shutil.which("chromium")) is None:
        pytest.skip("there is no chromium here; `apt-get install chromium` brings it")
    return path


@contextlib.asynccontextmanager
async def running_chromium():
    """A browser without windows, for several contexts."""
    path = chromium_path()
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


@contextlib.asynccontextmanager
async def reading_at(browser, url, key, **options):
    """A page of somebody who has signed in with `key` at the console of `url`; yields it and what it complained of."""
    context = await browser.new_context(base_url=url, **options)
    page = await context.new_page()
    complaints = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    foreign = []
    page.on("request", lambda request: None if request.url.startswith(url) else foreign.append(request.url))
    try:
        await page.goto("/")
        await page.get_by_label("API key").fill(key)
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_url("**/console")
        yield page, complaints
        assert foreign == []
    finally:
        await context.close()


async def faults(page):
    """What axe finds that is serious or worse."""
    from axe_playwright_python.async_playwright import Axe

    found = await Axe().run(page)
    return [
        (violation["id"], [node["html"][:120] for node in violation["nodes"]])
        for violation in found.response["violations"]
        if violation["impact"] in {"serious", "critical"}
    ]
