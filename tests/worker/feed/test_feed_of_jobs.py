"""What real payments, claims, jobs and payouts publish: every entry is as its model says, and none is missing."""

import json
import time

from api.events.bodies import EVENT_MODELS
from tests.support.job_shop import PRICE, Shop


async def events(pool):
    """Everything that is published, each held against its model."""
    bodies = [json.loads(row["body"]) for row in await pool.fetch("SELECT body FROM feed ORDER BY id")]
    for body in bodies:
        EVENT_MODELS[body["type"]].model_validate(body)
    return bodies


async def test_a_job_is_in_the_feed_of_both_its_parties_step_by_step(shop: Shop, worker):
    order = await shop.order()
    # First too little, which goes back, then the price.
    await order.pay(PRICE - 1)
    await order.pay()
    await order.until("escrowed")
    for step in ("accept", "submit", "approve"):
        assert await order.step(step, **({"output": {"text": "done"}} if step == "submit" else {}))
    await order.until("released", "approved")
    wanted = {
        "payment.received", "payment.finalized", "request.short", "request.paid", "claim.honoured", "account.proven",
        "job.not_funded", "job.escrowed", "job.accepted", "job.completed", "job.approved", "payout.sent",
        "payout.settled",
    }  # fmt: skip

    async def published():
        found = {event["type"] for event in await events(shop.pool)}
        return wanted <= found and await shop.pool.fetchval(
            "SELECT count(*) = 0 FROM events WHERE id > (SELECT event_id FROM feed_position)"
        )

    deadline = time.monotonic() + 40
    while not await published():
        missing = wanted - {event["type"] for event in await events(shop.pool)}
        assert time.monotonic() < deadline, missing
    found = await events(shop.pool)
    (short,) = [event["data"] for event in found if event["type"] == "request.short"]
    assert (short["amountBaseUnits"], short["receivedBaseUnits"]) == (str(PRICE), str(PRICE - 1))
    parties = {(event["type"], event["data"]["role"]) for event in found if event["type"] == "job.approved"}
    assert parties == {("job.approved", "client"), ("job.approved", "provider")}
    released = [event["data"] for event in found if event["type"] == "payout.settled"]
    assert str(PRICE) in {data["amountBaseUnits"] for data in released}
    assert all(data["signature"] for data in released)
