"""Findings of a reconciliation over HTTP, and refunds that are noted about them."""

from tests.support.ledger_rows import book
from tests.support.reconciling import reconcile

FINDINGS = "/analytics/reconciliation/findings"


async def listed(client, **filters):
    query = "&".join(f"{name}={value}" for name, value in filters.items())
    return (await client.get(f"{FINDINGS}?{query}"))["findings"]


async def events(pool):
    rows = await pool.fetch("SELECT type, user_id, data FROM events WHERE type LIKE 'finding.%' ORDER BY id")
    return [(row["type"], row["user_id"], row["data"]["by"]) for row in rows]


async def given_back(vendor, pool, amount, **columns):
    """A final transfer from the vendor's wallet to the buyer's."""
    columns = {"slot": 200, "finality": "finalized", **columns}
    return await book(pool, vendor.wallet, vendor.buyer.pubkey(), amount, **columns)


async def refunded(vendor, pool, database_url, amount):
    """A payment of 10,000 base units of which an amount was given back; returns the signatures of both."""
    paid = await vendor.paid(10_000, finality="finalized")
    await reconcile(database_url)
    (found,) = await listed(vendor.client)
    back = await given_back(vendor, pool, amount)
    assert (await vendor.client.post(f"{FINDINGS}/{found['id']}/refund", {"signature": back})).status == 200
    return paid, back


async def unmatched(vendor, pool, database_url, amount=5_000_000):
    """A payment that nobody claimed, as the newest report finds it; returns the finding."""
    await vendor.paid(amount)
    await reconcile(database_url)
    (found,) = await listed(vendor.client)
    return found


def withdrawal(found):
    return f"{FINDINGS}/{found['id']}/refund/withdraw"
