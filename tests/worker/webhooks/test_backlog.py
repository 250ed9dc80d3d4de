"""A large backlog is worked off at the pace of a small one: each delivery is found by its key."""

from dataclasses import asdict

from ledger import webhooks
from ledger.webhooks import EndedTry, end_tries, take_deliveries
from tests.support.webhook_receivers import Receiver, subscribe, well

COUNT, TAKEN = 40_000, 50


def leaves_of(plan):
    """The lines of a plan that read a table or an index."""
    below = [line for child in plan.get("Plans", []) for line in leaves_of(child)]
    return below + ([plan] if plan.get("Relation Name") else [])


async def backlog(pool):
    """Deliveries that are due and that nobody has counted: a backlog grows faster than statistics are gathered."""
    webhook = await subscribe(pool, Receiver(well, url="http://127.0.0.1:9/"))
    await pool.execute(
        "INSERT INTO feed (id, event_id, type, user_id, environment, at, body)"
        " SELECT n, n, 'key.revoked', 'merchant', 'live', now(), '{}' FROM generate_series(1, $1::int) AS n",
        COUNT,
    )
    await pool.execute("INSERT INTO webhook_deliveries (webhook_id, feed_id) SELECT $1, id FROM feed", webhook.id)
    return webhook.id


async def test_ending_tries_reads_no_more_than_their_rows(pool):
    webhook_id = await backlog(pool)
    taken = await take_deliveries(
        pool, busy={}, quick=[webhook_id], per_webhook_max=TAKEN, per_quick_max=TAKEN, limit=TAKEN, lease_seconds=30,
        seals_known=[],
    )  # fmt: skip
    ended = [EndedTry(webhook_id, one.feed_id, "delivered", 0.0, 204, "", 3, None) for one in taken]
    explained = "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) " + webhooks._queries.end_tries.sql
    columns = list(zip(*(list(asdict(one).values())[:8] for one in ended), strict=True))
    async with pool.acquire() as connection:
        ((plan,),) = await connection.fetch(explained, *columns)
        read = [line for line in leaves_of(plan[0]["Plan"]) if line["Relation Name"] == "webhook_deliveries"]
        assert sum(line["Actual Loops"] * (line["Actual Rows"] + line.get("Rows Removed by Filter", 0))
                   for line in read) <= 2 * TAKEN  # fmt: skip
        async with connection.transaction():
            await end_tries(connection, ended)
    counted = await pool.fetch("SELECT status, count(*) AS count FROM webhook_deliveries GROUP BY 1 ORDER BY 1")
    assert [tuple(one) for one in counted] == [("delivered", TAKEN), ("pending", COUNT - TAKEN)]
