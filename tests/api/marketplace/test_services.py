"""What a provider says about its services: whom they are paid to, in which token, and where they stand in a list."""

import asyncio

import pytest
from solders.keypair import Keypair

from tests.support.api_client import key_for, running_api
from tests.support.ledger_rows import NO_NODE, Vendor, book, new_signature
from tests.support.service_offer import OFFER as ORDINARY

OFFER = {**ORDINARY, "averageResponseTime": 1000}
SERVICES = "/marketplace/services"


@pytest.fixture
async def stall(database_url, redis_url, pool, net):
    """A provider with one wallet, on a marketplace whose settlement wallet is its own."""
    wallet = str(Keypair().pubkey())
    async with running_api(database_url, redis_url, [net.rpc_url], SETTLEMENT_WALLET=wallet) as client:
        await Vendor(client, pool, user="marketplace", wallet=wallet).open()
        yield await Vendor(client, pool, user="provider").open()


async def offered(stall, **changes):
    reply = await stall.client.post(SERVICES, {**OFFER, **changes})
    assert reply.status == 201, reply.text
    return reply.body


async def test_a_service_is_paid_to_the_wallet_that_its_provider_registered_first(stall):
    await Vendor(stall.api, stall.pool, user="provider").open()
    assert (await offered(stall))["payoutAddress"] == stall.wallet
    named, agent = str(Keypair().pubkey()), str(Keypair().pubkey())
    assert (await offered(stall, payoutAddress=named))["payoutAddress"] == named
    assert (await offered(stall, agentId=agent))["payoutAddress"] == agent


async def test_a_service_that_could_be_paid_to_nobody_is_refused(stall):
    nobody = stall.api.holding(await key_for(stall.pool, "nobody"))
    refused = await nobody.post(SERVICES, OFFER)
    assert (refused.status, refused.code) == (409, "CONFLICT")
    assert "POST /recipients" in refused["error"]


async def test_without_a_settlement_wallet_nothing_is_ordered_or_seeded(database_url, redis_url, pool):
    for settings in ({}, {"SETTLEMENT_WALLET": str(Keypair().pubkey())}):  # none, and one that nobody follows
        async with running_api(database_url, redis_url, [NO_NODE], **settings) as api:
            stall = await Vendor(api, pool, user="provider").open()
            admin = api.holding(await key_for(pool, "operations", ("admin",)))
            service = await offered(stall)
            for reply in (
                await stall.client.post("/marketplace/jobs", {"serviceId": service["id"]}),
                await admin.post("/marketplace/seed"),
            ):
                assert (reply.status, reply.code) == (409, "CONFLICT")
                assert "SETTLEMENT_WALLET" in reply["error"]


async def test_the_payment_of_a_job_is_a_payment_request_with_all_its_fields(stall):
    service = await offered(stall)
    job = (await stall.client.post("/marketplace/jobs", {"serviceId": service["id"]})).body
    payment, wallet = job["payment"], job["payment"]["recipient"]
    assert (payment["resource"], payment["scheme"], payment["status"]) == ("marketplace: Summaries", "minimum", "open")
    admin = stall.api.holding(await key_for(stall.pool, "operations", ("admin",)))

    async def shown():
        request = (await admin.get(f"/payments/requests/{payment['nonce']}")).body
        listed = (await stall.api.get("/marketplace/jobs"))["jobs"][0]["payment"]
        ordered = (await stall.api.get(f"/marketplace/jobs/{job['id']}"))["payment"]
        assert listed == ordered
        same = request.keys() & ordered.keys() - {"solanaPayUrl"}  # its label is the service's name
        assert {name: request[name] for name in same} == {name: ordered[name] for name in same}
        assert request.keys() >= ordered.keys()
        return ordered["status"]

    assert await shown() == "open"
    transaction = new_signature()
    proof = stall.proof(transaction, "2.5", nonce=payment["nonce"])
    assert (await stall.api.verify(proof)).code == "PAYMENT_PENDING"
    assert await shown() == "pending"
    await book(stall.pool, stall.buyer.pubkey(), wallet, 2_500_000, signature=transaction)
    assert (await stall.api.verify(proof)).code == "VALID"
    assert await shown() == "paid"
    late = (await stall.client.post("/marketplace/jobs", {"serviceId": service["id"]}))["payment"]
    await stall.pool.execute("UPDATE job_requests SET fund_until = created_at WHERE nonce = $1", late["nonce"])
    assert (await stall.api.get("/marketplace/jobs?limit=1"))["jobs"][0]["payment"]["status"] == "expired"


async def test_unrated_services_stand_where_the_rating_that_they_show_puts_them(stall):
    for name, total, count in (("fair", 12, 4), ("unrated", 0, 0), ("best", 10, 2), ("good", 9, 2)):
        service = await offered(stall, name=name)
        await stall.pool.execute(
            "UPDATE agent_services SET rating_sum = $2, rating_count = $3 WHERE id = $1", service["id"], total, count
        )
    listed = (await stall.api.get(f"{SERVICES}?sort=rating"))["services"]
    assert [one["name"] for one in listed] == ["best", "unrated", "good", "fair"]
    assert [one["rating"] for one in listed] == [5, 5, 4.5, 3]


async def test_a_list_says_how_many_there_are_also_beyond_its_end(stall):
    for category in ("ai", "ai", "data"):
        await offered(stall, category=category)
    for query, total, shown in (
        ("offset=100", 3, 0),
        ("category=ai&limit=1", 2, 1),
        ("category=ai&offset=2", 2, 0),
        ("minPrice=3", 0, 0),
        ("minPrice=2.5&maxPrice=2.5&offset=1", 3, 2),
    ):
        reply = await stall.api.get(f"{SERVICES}?{query}")
        assert (reply["total"], len(reply["services"])) == (total, shown), query


async def test_the_currency_of_a_service_changes_with_its_price_or_alone(stall):
    async def changed(service, **change):
        reply = await stall.client.call("PATCH", f"{SERVICES}/{service['id']}", change)
        assert reply.status == 200, reply.text
        return tuple(reply[name] for name in ("priceAmount", "priceAmountBaseUnits", "priceCurrency"))

    service = await offered(stall)
    assert await changed(service, priceCurrency="sol") == (2.5, "2500000000", "SOL")
    assert await changed(service, priceCurrency="USDT", priceAmount="0.000001") == (0.000001, "1", "USDT")
    assert await changed(service, priceAmount=3) == (3, "3000000", "USDT")
    assert await changed(service, priceCurrency="SOL", priceAmount="0.000000001") == (0.000000001, "1", "SOL")
    for wrong in ({"priceCurrency": "DOGE"}, {"priceCurrency": "USDC"}):  # no billionths in the latter
        refused = await stall.client.call("PATCH", f"{SERVICES}/{service['id']}", wrong)
        assert (refused.status, refused.code) == (400, "VALIDATION_ERROR"), wrong


async def test_a_service_that_was_ordered_keeps_its_currency(stall):
    """What it has earned is counted in it."""
    service = await offered(stall)
    path = f"{SERVICES}/{service['id']}"
    assert (await stall.client.post("/marketplace/jobs", {"serviceId": service["id"]})).status == 201
    refused = await stall.client.call("PATCH", path, {"priceCurrency": "USDT", "name": "other"})
    assert (refused.status, refused.code) == (409, "CONFLICT")
    assert (await stall.api.get(path))["name"] == OFFER["name"]
    same = await stall.client.call("PATCH", path, {"priceCurrency": "USDC", "priceAmount": 3})
    assert (same.status, same["priceAmountBaseUnits"]) == (200, "3000000")


async def test_an_order_and_a_change_of_currency_at_the_same_moment_agree(stall):
    for _ in range(10):
        service = await offered(stall)
        ordered, changed = await asyncio.gather(
            stall.client.post("/marketplace/jobs", {"serviceId": service["id"]}),
            stall.client.call("PATCH", f"{SERVICES}/{service['id']}", {"priceCurrency": "USDT"}),
        )
        assert {ordered.status, changed.status} in ({201, 409}, {200, 409}, {200, 201})
        if ordered.status == 201:
            shown = await stall.api.get(f"{SERVICES}/{service['id']}")
            assert ordered["paymentCurrency"] == shown["priceCurrency"]


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_a_name_that_is_too_long_is_refused(stall, method):
    path = SERVICES if method == "POST" else f"{SERVICES}/{(await offered(stall))['id']}"
    body = {**OFFER, "name": "n" * 201}
    assert (await stall.client.call(method, path, body)).code == "VALIDATION_ERROR"
