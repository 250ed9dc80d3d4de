"""What the demo does not do and the console shows: jobs and where their money is, webhooks that arrive or fail."""

import contextlib

from aiohttp import web
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from localnet import payments as pay
from tests.support.ledger_checks import eventually
from tests.support.service_offer import OFFER

SERVICES, JOBS = "/marketplace/services", "/marketplace/jobs"


@contextlib.asynccontextmanager
async def receiver():
    """A receiver of webhooks that takes everything; yields its address."""

    async def hook(request):
        await request.read()
        return web.Response(status=204)

    application = web.Application()
    application.router.add_post("/hooks", hook)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hooks"
    finally:
        await runner.cleanup()


async def webhooks(api, url):
    """A webhook that arrives and one whose receiver is away; returns the first one's id."""
    made = await api.post("/webhooks", {"url": url, "description": "shop's books"})
    away = {"url": "http://127.0.0.1:9/hooks", "description": "chat", "types": ["payment.received"]}
    await api.post("/webhooks", away)
    return made["id"]


async def jobs(client, provider, pool, market):
    """A job that is done and paid out, one whose payout waits for an account, one that nobody has paid yet.

    `client` and `provider` are users of the API. Returns the id of the second.
    """
    kept, empty = Keypair().pubkey(), Keypair().pubkey()
    await market.rpc.call("localnet_fundToken", [str(kept), str(pay.USDC), 0], object)
    for name, price, wallet, steps in (
        ("Weekly traffic report", 12.5, kept, ("accept", "submit", "approve")),
        ("Three paragraphs", 0.4, empty, ("accept", "submit", "approve")),
        ("Alt texts for a shop", 7, kept, ()),
    ):
        offer = {**OFFER, "name": name, "priceAmount": price, "payoutAddress": str(wallet)}
        service = await provider.post(SERVICES, offer)
        job = (await client.post(JOBS, {"serviceId": service["id"], "input": {"site": "shop.example"}}))["id"]
        if not steps:
            continue
        await _paid(pool, market, job)
        for step in steps:
            who = client if step == "approve" else provider
            done = {"output": {"text": "See the attachment."}} if step == "submit" else None
            assert (await who.post(f"{JOBS}/{job}/{step}", done)).status == 200
        await _payout(pool, job, "settled" if wallet == kept else "waiting")
        waiting = job
    return waiting


async def _payout(pool, job, status):
    query = "SELECT count(*) FROM payouts WHERE job_id::text = $1 AND status::text = $2"
    await eventually(lambda: pool.fetchval(query, job, status), seconds=60)


async def _paid(pool, market, job):
    row = await pool.fetchrow("SELECT * FROM job_requests WHERE id::text = $1", job)
    payer, reference = market.payers[1], Pubkey.from_string(row["reference"])
    wallet = Pubkey.from_string(row["settlement_wallet"])
    payment = pay.checked(payer.pubkey(), wallet, int(row["price_amount"]), reference, row["nonce"])
    await market.pay(payment, payer)
    held = "SELECT count(*) FROM job_requests WHERE id::text = $1 AND escrow_status = 'escrowed'"
    await eventually(lambda: pool.fetchval(held, job), seconds=60)
