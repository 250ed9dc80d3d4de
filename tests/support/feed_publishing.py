"""Publishing in a test, as a worker does."""

from ledger.feed import publish_events


async def nothing_more(_):
    """Nothing follows from what is published."""


async def publish(pool, events_max=1_000):
    """Publish what is committed, once."""
    async with pool.acquire() as connection:
        return await publish_events(connection, events_max=events_max, then=nothing_more)


async def log_event(pool, kind, user="merchant", subject="sk_live_0", **data):
    """An event that says itself whose it is; returns its id."""
    return await pool.fetchval(
        "INSERT INTO events (type, subject, user_id, data) VALUES ($1, $2, $3, $4) RETURNING id",
        kind, subject, user, data,
    )  # fmt: skip
