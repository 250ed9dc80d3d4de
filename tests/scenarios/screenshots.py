"""`make screenshots`: what the demo pays, as the console's pages show it, drawn anew for docs/console.md.

python -m tests.scenarios.screenshots docs/console
"""

import asyncio
import io
import os
import shutil
import sys
from pathlib import Path

import aiohttp
from rich.console import Console
from solders.keypair import Keypair

from cli.demo.ledger_table import claims_table
from cli.demo.payments import SLOT_SECONDS, pay_fixed_round
from cli.demo.x402_purchase import buy_over_x402
from cli.registration import register
from cli.system.processes import SystemSettings, running_system
from ledger.completeness import proof_of_accounts
from ledger.reports import request_reconciliation
from localnet import payments as pay
from localnet.market import open_market
from runtime.database import open_pool
from runtime.settings import SolanaSettings, load
from tests.scenarios import console_stories
from tests.support.api_client import Client, key_for, proof_of
from tests.support.chromium import reading_at, running_chromium
from tests.support.databases import short_lived_home
from tests.support.ledger_checks import eventually

USER = "demo"
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 360, "height": 760}
NEWS_MS = 3_000
WAIT_SECONDS = 120
AUDIT_SECONDS = "2"


async def requested(api, market):
    """Payment requests, one of them paid; returns the nonce of one that is open, and the other's transaction."""
    made = {}
    for resource, amount in (("Weather in Lisbon, 1,000 calls", "2.50"), ("One coffee", "0.25"), ("Report 7", "12")):
        asked = await api.post("/payments/requests", {"amount": amount, "currency": "USDC", "resource": resource})
        made[resource] = asked["nonce"]
    payer, paid = market.payers[0], made["One coffee"]
    transaction = await market.pay(pay.plain(payer.pubkey(), market.recipients[0].pubkey(), 250_000), payer)
    assert (await api.verify(proof_of(payer, transaction, "0.25", paid))).code == "VALID"
    return made["Report 7"], transaction


async def drawn(browser, running, keys, directory, shown):
    """One picture a page, wide and light; some dark and narrow too. Keys are a merchant's and an admin's.

    `shown` are the ids of what has a page of its own, by the page's name.
    """
    key, admin = keys
    wallet = Keypair.from_seed(bytes(32)).pubkey()
    lists = ("payments", "requests", "reconciliation", "jobs", "x402", "webhooks", "keys", "wallets")
    pages = {name: f"/console/{name}" for name in lists}
    pages |= {"request": f"/console/requests/{shown['request']}", "payment": f"/console/payments/{shown['payment']}",
              "request-new": "/console/requests/new", "finding": f"/console/reconciliation/{shown['finding']}",
              "job": f"/console/jobs/{shown['job']}", "settlement": f"/console/x402/{shown['settlement']}",
              "webhook": f"/console/webhooks/{shown['webhook']}",
              "wallet-new": f"/console/wallets/new?address={wallet}&label=till"}  # fmt: skip

    async def draw(name, viewport, scheme, *, by=key, first="/console", **paths):
        options = {"viewport": viewport, "color_scheme": scheme, "timezone_id": "Europe/Zurich", "locale": "en-GB"}
        async with reading_at(browser, running.api_url, by, **options) as (page, _):
            for which, path in ({name: first} | paths).items():
                await page.goto(path)
                # The stream opens, and what came meanwhile is drawn.
                await page.wait_for_timeout(NEWS_MS)
                await page.screenshot(path=directory / f"{which}.png")

    await draw("overview", WIDE, "light", **pages)
    await draw("overview-dark", WIDE, "dark")
    await draw("overview-narrow", NARROW, "light")
    account = f"/console/audit/{shown['account']}"
    await draw("audit", WIDE, "light", by=admin, first="/console/audit", account=account, payouts="/console/payouts")
    await draw("audit-narrow", NARROW, "light", first="/console/audit")
    page = await browser.new_page(viewport=WIDE, color_scheme="light")
    await page.goto(f"{running.api_url}/console")
    await page.screenshot(path=directory / "sign-in.png")


async def first_finding(api, pool):
    """The first finding, once every account is proven and what does not match is reported."""
    proof = await proof_of_accounts(pool, USER)
    if not proof.proven == proof.accounts > 0:
        return None
    findings = (await api.get("/analytics/reconciliation/findings"))["findings"]
    return findings[0]["id"] if findings else None


async def main(directory):
    """Run the demo's fixed round, ask for some payments, and draw every page."""
    with short_lived_home() as home:
        settings = load(SystemSettings).model_copy(update={"home": home, "database_url": None, "redis_url": None})
        async with (
            running_system(settings, rpc_port=0, slot_seconds=SLOT_SECONDS, log_directory=home / "logs",
                           say=lambda _: None) as running,
            open_pool(running.database_url, application="screenshots", max_size=3) as pool,
            open_market(running.rpc_url) as market,
            running_chromium() as browser,
            aiohttp.ClientSession() as http,
            console_stories.receiver() as receiver_url,
        ):  # fmt: skip
            await market.prepare()
            solana = SolanaSettings(solana_rpc_url=running.rpc_url)
            for number, wallet in enumerate(market.wallets, 1):
                await register(pool, solana, wallet, user=USER, label=f"shop {number}")
            api = Client(running.api_url, http, await key_for(pool, USER))
            webhook = await console_stories.webhooks(api, receiver_url)
            receipts = await pay_fixed_round(Console(file=io.StringIO()), market)
            bought = await buy_over_x402(running.api_url, market)
            await claims_table(running.api_url, USER, pool, market, receipts, bought)
            request, payment = await requested(api, market)
            job = await console_stories.jobs(api, api.holding(await key_for(pool, "studio")), pool, market)
            await request_reconciliation(pool, requested_by=USER)
            finding = await eventually(lambda: first_finding(api, pool), seconds=WAIT_SECONDS)
            account = str(pay.token_account(market.recipients[0].pubkey(), pay.USDC))
            admin = await key_for(pool, "operations", ("read", "write", "admin"))
            shown = {
                "request": request, "payment": payment, "job": job, "webhook": webhook, "account": account,
                "finding": finding,
                "settlement": await pool.fetchval("SELECT id FROM settlements WHERE status = 'settled' LIMIT 1"),
            }  # fmt: skip
            await drawn(browser, running, (api.key, admin), directory, shown)


if __name__ == "__main__":
    if shutil.which("chromium") is None:
        sys.exit("There is no chromium here; install it (`apt-get install chromium`) and run make screenshots again.")
    os.environ.setdefault("INDEXER_AUDIT_SECONDS", AUDIT_SECONDS)
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(target))
