"""Stories of the marketplace, by HTTP and chain alone: nothing is written into the ledger but by its processes."""

import asyncio
import time
from contextlib import asynccontextmanager

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from chain.rpc import RpcPool
from indexer.main import running_indexer
from localnet import payments as pay
from tests.support.api_client import key_for, running_api
from tests.support.job_shop import Shop, fast_settings, secret
from tests.support.ledger_checks import eventually
from tests.support.ledger_checks import fast_settings as fast_indexer
from tests.support.service_offer import OFFER
from worker.main import running_worker

PRICE = 2_500_000


class Market:
    """A client and a provider who know nothing but the API's address and a node's."""

    def __init__(self, shop, public, client, provider, admin):
        self.shop, self.public, self.client, self.provider, self.admin = shop, public, client, provider, admin

    async def offer(self, **changes):
        reply = await self.provider.post(
            "/marketplace/services", {**OFFER, "payoutAddress": str(self.shop.provider.pubkey()), **changes}
        )
        assert reply.status == 201, reply.text
        return reply.body

    async def order(self, service, **details):
        reply = await self.client.post(
            "/marketplace/jobs", {"serviceId": service["id"], "input": {"text": "long"}, **details}
        )
        assert reply.status == 201, reply.text
        return reply.body

    async def fund(self, job, amount=None):
        """Pay as the answer to the order says."""
        asked = job["payment"]
        payment = pay.checked(
            self.shop.client.pubkey(),
            Pubkey.from_string(asked["recipient"]),
            amount or int(asked["amountBaseUnits"]),
            Pubkey.from_string(asked["reference"]),
            "job",
        )
        return await self.shop.send(payment.instructions, self.shop.client)

    async def job(self, job):
        return (await self.public.get(f"/marketplace/jobs/{job['id']}")).body

    async def until(self, job, **wanted):
        async def there():
            found = await self.job(job)
            return found if all(found[name] == value for name, value in wanted.items()) else None

        return await eventually(there, seconds=30)

    async def paid_back(self, job, count):
        async def there():
            found = await self.job(job)
            back = [one for one in found["money"] if one["way"] == "refund" and one["status"] == "settled"]
            return back if len(back) == count else None

        return await eventually(there, seconds=30)

    async def step(self, who, job, name, body=None, status=200):
        reply = await who.post(f"/marketplace/jobs/{job['id']}/{name}", body)
        assert reply.status == status, reply.text
        return reply.body

    async def spent(self):
        return 1_000_000_000 - await self.shop.balance(self.shop.client.pubkey())

    async def earned(self):
        return await self.shop.balance(self.shop.provider.pubkey())


@pytest.fixture
async def market(net, pool, database_url, redis_url):
    async with opened(net, pool, database_url, redis_url) as found:
        yield found


@asynccontextmanager
async def opened(net, pool, database_url, redis_url, **api_settings):
    wallet = Keypair()
    settings = fast_settings(SETTLEMENT_KEYPAIR=secret(wallet))
    indexer = fast_indexer(INDEXER_AUDIT_SECONDS=0.5, INDEXER_FINALIZE_SECONDS=0.2)
    async with (
        RpcPool([net.rpc_url]) as rpc,
        running_api(
            database_url, redis_url, [net.rpc_url], SETTLEMENT_WALLET=str(wallet.pubkey()), **api_settings
        ) as public,
        running_indexer(indexer, database_url, [net.rpc_url], [net.ws_url]),
        running_worker(settings, database_url, redis_url, [net.rpc_url]),
    ):
        shop = Shop(pool, rpc, wallet)
        await shop.prepare()
        admin = public.holding(await key_for(pool, "operations", ("read", "write", "admin")))
        followed = await admin.post("/recipients", {"address": str(wallet.pubkey()), "userId": "marketplace"})
        assert followed.status == 201, followed.text
        client, provider = public.holding(await key_for(pool, "c")), public.holding(await key_for(pool, "p"))
        yield Market(shop, public, client, provider, admin)
        assert await shop.violations() == []


async def test_offered_ordered_funded_accepted_submitted_approved_paid(market):
    service = await market.offer()
    assert service["priceAmount"] == 2.5
    job = await market.order(service, clientAgentId="agent-c")
    assert (job["status"], job["escrowStatus"]) == ("pending", "pending")
    assert job["payment"]["amountBaseUnits"] == str(PRICE)
    refused = await market.step(market.provider, job, "submit", {"output": "x"}, status=409)
    assert refused["details"]["allowedSteps"] == ["accept", "cancel"]
    assert (job["escrowAddress"], job["escrowTransactionId"]) == (None, None)
    await market.step(market.provider, job, "start", status=409)
    paid = await market.fund(job)
    await market.until(job, escrowStatus="escrowed")
    assert (await market.step(market.provider, job, "accept"))["status"] == "accepted"
    # The older agents submit what is accepted, and nothing else.
    funded = await market.until(job, status="accepted", escrowStatus="escrowed")
    assert funded["escrowAddress"] == job["payment"]["recipient"]
    assert funded["escrowTransactionId"] == paid
    assert (await market.step(market.provider, job, "submit", {"output": {"text": "short"}}))["status"] == "completed"
    assert (await market.step(market.client, job, "rate", {"score": 4}, status=409))["code"] == "CONFLICT"
    assert (await market.step(market.client, job, "approve"))["status"] == "approved"
    assert (await market.step(market.client, job, "rate", {"score": 4, "feedback": "good"}))["score"] == 4
    assert (await market.step(market.client, job, "rate", {"score": 5}, status=409))["code"] == "CONFLICT"
    done = await market.until(job, escrowStatus="released")
    assert done["output"] == {"text": "short"}
    assert await market.earned() == PRICE
    assert await market.spent() == PRICE

    shown = (await market.public.get(f"/marketplace/services/{service['id']}")).body
    assert (shown["totalJobs"], shown["successfulJobs"], shown["totalEarnings"]) == (1, 1, 2.5)
    assert (shown["rating"], shown["ratingCount"], shown["reliability"]) == (4, 1, 100)
    assert [one["id"] for one in shown["recentJobs"]] == [job["id"]]
    stats = (await market.public.get("/marketplace/stats")).body
    assert (stats["totalServices"], stats["totalJobs"], stats["completedJobs"]) == (1, 1, 1)
    assert (stats["totalVolume"], stats["activeAgents"]) == (2.5, 2)
    (leader,) = (await market.public.get("/marketplace/leaderboard")).body["leaderboard"]
    assert (leader["id"], leader["totalEarnings"], leader["successRate"], leader["rating"]) == (
        service["id"], 2.5, 100, 4,
    )  # fmt: skip
    listed = (await market.public.get("/marketplace/jobs?clientAgentId=agent-c&status=approved")).body
    assert [one["id"] for one in listed["jobs"]] == [job["id"]]
    assert listed["total"] == 1
    # The payment is the operator's to see in the ledger, as any other.
    asked = (await market.admin.get(f"/payments/requests/{job['payment']['nonce']}")).body
    assert asked["status"] == "paid"


async def test_a_dispute_ends_in_a_refund_or_a_release(market):
    service = await market.offer()
    jobs = [await market.order(service) for _ in range(2)]
    for job in jobs:
        await market.fund(job)
        await market.until(job, escrowStatus="escrowed")
        await market.step(market.provider, job, "accept")
        await market.step(market.client, job, "start", status=403)
        assert (await market.step(market.provider, job, "start"))["status"] == "in_progress"
        await market.step(market.provider, job, "submit", {"output": "nothing"})
        disputed = await market.step(market.client, job, "dispute", {"reason": "there is nothing in it"})
        assert (disputed["status"], disputed["escrowStatus"]) == ("disputed", "disputed")
        await market.step(market.client, job, "approve", status=409)
        await market.step(market.client, job, "resolve", {"resolution": "refund"}, status=403)
    await market.step(market.admin, jobs[0], "resolve", {"resolution": "refund"})
    await market.step(market.admin, jobs[1], "resolve", {"resolution": "release"})
    await market.until(jobs[0], escrowStatus="refunded", status="cancelled", resolution="refund")
    await market.until(jobs[1], escrowStatus="released", status="approved", resolution="release")
    assert await market.spent() == PRICE
    assert await market.earned() == PRICE
    shown = (await market.public.get(f"/marketplace/services/{service['id']}")).body
    assert (shown["totalJobs"], shown["successfulJobs"], shown["reliability"]) == (2, 1, 50)


async def test_a_deadline_that_passes_ends_in_a_refund(market):
    job = await market.order(await market.offer(), deadline=int(time.time() * 1000) + 5_000)
    await market.fund(job)
    await market.until(job, escrowStatus="escrowed")
    await market.step(market.provider, job, "accept")
    await market.until(job, status="expired", escrowStatus="refunded")
    await market.step(market.provider, job, "submit", {"output": "late"}, status=409)
    assert await market.spent() == 0
    assert await market.earned() == 0


async def test_cancelled_before_funding_nothing_is_owed(market):
    job = await market.order(await market.offer())
    await market.step(market.client, job, "approve", status=409)
    assert (await market.step(market.client, job, "cancel"))["status"] == "cancelled"
    await market.step(market.provider, job, "accept", status=409)
    # Paid all the same, it comes back.
    await market.fund(job)
    await market.paid_back(job, 1)
    assert await market.spent() == 0


async def test_too_little_too_much_and_twice(market):
    service = await market.offer()
    little, much = await market.order(service), await market.order(service)
    await market.fund(little, PRICE - 1)
    await market.fund(much, PRICE + 1)
    await market.until(much, escrowStatus="escrowed")
    await market.fund(much)
    (short,) = await market.paid_back(little, 1)
    assert (short["reason"], short["amountBaseUnits"]) == ("short", str(PRICE - 1))
    back = await market.paid_back(much, 2)
    assert {(one["reason"], one["amountBaseUnits"]) for one in back} == {("excess", "1"), ("duplicate", str(PRICE))}
    assert await market.spent() == PRICE
    assert (await market.job(little))["escrowStatus"] == "pending"


async def test_paid_after_it_has_expired(net, pool, database_url, redis_url):
    async with opened(net, pool, database_url, redis_url, MARKETPLACE_FUNDING_SECONDS=1.0) as market:
        job = await market.order(await market.offer())
        await asyncio.sleep(2.5)  # block times are whole seconds
        await market.fund(job)
        (back,) = await market.paid_back(job, 1)
        assert back["reason"] == "late"
        assert await market.spent() == 0


async def test_what_belongs_to_others_is_refused(market):
    service = await market.offer()
    path = f"/marketplace/services/{service['id']}"
    assert (await market.client.call("PATCH", path, {"name": "mine"})).status == 403
    assert (await market.client.delete(path)).status == 403
    assert (await market.public.post("/marketplace/services", OFFER)).status == 401
    changed = await market.provider.call("PATCH", path, {"priceAmount": "3.000001", "tags": ["new"]})
    assert (changed["priceAmountBaseUnits"], changed["tags"]) == ("3000001", ["new"])
    job = await market.order(service)
    for who, name, body, owner in (
        (market.client, "accept", None, "provider"),
        (market.client, "submit", {"output": 1}, "provider"),
        (market.provider, "approve", None, "client"),
    ):
        refused = await market.step(who, job, name, body, status=403)
        assert (refused["code"], f"step of the job's {owner}" in refused["error"]) == ("FORBIDDEN", True), refused
    stranger = market.public.holding(await key_for(market.shop.pool, "stranger"))
    for name, body in (("accept", None), ("cancel", None), ("submit", {"output": 1}), ("rate", {"score": 1})):
        await market.step(stranger, job, name, body, status=403)
    assert (await market.provider.delete(path)).status == 204
    assert (await market.public.get("/marketplace/services")).body["total"] == 0
    again = await market.client.post("/marketplace/jobs", {"serviceId": service["id"]})
    assert again.status == 409
    for missing in ("nonsense", "00000000-0000-0000-0000-000000000000"):
        assert (await market.public.get(f"/marketplace/services/{missing}")).status == 404
        assert (await market.public.get(f"/marketplace/jobs/{missing}")).status == 404


async def test_services_are_found_by_what_is_asked(market):
    for number, (category, price) in enumerate([("ai", "0.01"), ("data", 2), ("ai", 30)]):
        await market.offer(name=f"s{number}", category=category, priceAmount=price)

    async def names(query):
        reply = await market.public.get(f"/marketplace/services?{query}")
        assert reply.status == 200, reply.text
        return [one["name"] for one in reply["services"]]

    assert await names("sort=price-low") == ["s0", "s1", "s2"]
    assert await names("sort=price-high&limit=1") == ["s2"]
    assert await names("sort=newest&category=ai") == ["s2", "s0"]
    assert await names("minPrice=0.01&maxPrice=2&sort=price-low") == ["s0", "s1"]
    assert await names("minPrice=0.011&maxPrice=1.99") == []
    assert await names("sort=rating&offset=3") == []
    assert (await market.public.get("/marketplace/services?sort=cheap")).status == 400
    assert (await market.public.get("/marketplace/services?limit=0")).status == 400


async def test_the_seed_adds_and_never_destroys(market):
    assert (await market.client.post("/marketplace/seed")).status == 403
    first = await market.admin.post("/marketplace/seed")
    assert first.status == 200, first.text
    assert first["added"] > 3
    assert (await market.admin.post("/marketplace/seed"))["added"] == 0
    assert first["stats"]["totalServices"] == first["added"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"priceAmount": 0}, "priceAmount"),
        ({"priceAmount": "0.0000001"}, "priceAmount"),
        ({"priceCurrency": "DOGE"}, "currency"),
        ({"category": "magic"}, "category"),
        ({"payoutAddress": "not-an-address-at-all-but-long-enough-0"}, "payoutAddress"),
    ],
)
async def test_an_offer_that_makes_no_sense_is_refused(market, body, field):
    offer = {**OFFER, "payoutAddress": str(market.shop.provider.pubkey())}
    reply = await market.provider.post("/marketplace/services", {**offer, **body})
    assert reply.status == 400
    assert field.lower() in reply.text.lower()
