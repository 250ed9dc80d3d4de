"""Payments that are recorded late, or land after their claims expired: what they name is paid, or they go back."""

import datetime as dt

import pytest

from localnet.payments import USDC
from tests.support.job_shop import PRICE
from tests.support.ledger_rows import book, new_signature
from tests.support.pending_claims import claim
from worker.claims.decide import reconcile
from worker.claims.match_requests import sweep_requests
from worker.escrow import JobsMoved, move_jobs
from worker.feed.unmatched import log_unmatched

REQUEST = (
    "INSERT INTO nonces (nonce, user_id, recipient, mint, currency, amount, reference, expires_at)"
    " VALUES ($1, 'merchant', $2, $3, 'USDC', $4, $5, $6)"
)


async def look(shop, context):
    """Every pass that moves requests and jobs, until nothing moves any more."""
    await shop.pool.execute("UPDATE events SET at = at - interval '1 hour' WHERE type = 'transfer.finalized'")
    for _ in range(3):
        await reconcile(context)
        await sweep_requests(context)
        await log_unmatched(context)
        await move_jobs(context, JobsMoved(), sweep=True)


async def recorded_when_final(shop, **columns):
    """A payment to the settlement wallet that was healed: it is final when it is recorded."""
    signature = await book(
        shop.pool, shop.client.pubkey(), shop.wallet.pubkey(), PRICE, finality="finalized", **columns
    )
    await shop.pool.execute(
        "INSERT INTO events (type, subject, data) VALUES ('transfer.finalized', $1, '{\"path\": \"0\"}')", signature
    )
    return signature


async def test_a_job_is_funded_by_a_payment_that_landed_after_its_claim_expired(shop, context, net):
    order = await shop.order()
    signature = new_signature()
    pending = await claim(shop, signature, nonce=order.nonce, amount=PRICE, for_request=True)
    await reconcile(context)
    net.chain.tick(200)
    await reconcile(context)
    assert await shop.pool.fetchval("SELECT status FROM transactions WHERE id = $1", pending) == "expired"
    await recorded_when_final(shop, signature=signature, reference_keys=[str(order.reference)])
    await look(shop, context)
    assert (await order.row())["escrow_status"] == "escrowed"
    assert await shop.pool.fetchval("SELECT id FROM transactions") == pending
    assert await shop.violations() == []


@pytest.mark.parametrize("hours", [12, 48, 600])
async def test_a_job_is_funded_or_paid_back_however_late_its_payment_was_recorded(shop, context, hours):
    """The indexers were down for longer than requests are searched for."""
    await shop.pool.execute("UPDATE feed_position SET matched_until = clock_timestamp() - interval '60 days'")
    order = await shop.order(funding_seconds=-3600 * hours, job_seconds=7200)
    await shop.pool.execute("UPDATE job_requests SET created_at = now() - interval '40 days'")
    await look(shop, context)
    paid = dt.datetime.now(dt.UTC) - dt.timedelta(hours=hours + 1)
    await recorded_when_final(shop, block_time=paid, memos=[order.nonce])
    await look(shop, context)
    fundings = await shop.pool.fetch("SELECT escrowed + rest AS paid FROM job_fundings")
    assert [row["paid"] for row in fundings] == [PRICE]
    assert await shop.violations() == []


@pytest.mark.parametrize("seconds_late", [-3600, 60])
async def test_a_request_is_paid_by_what_was_recorded_days_later_if_it_was_paid_in_time(shop, context, seconds_late):
    await shop.pool.execute("UPDATE feed_position SET matched_until = clock_timestamp() - interval '60 days'")
    expires_at = dt.datetime.now(dt.UTC) - dt.timedelta(days=2)
    values = str(shop.wallet.pubkey()), str(USDC), PRICE, str(shop.provider.pubkey())
    await shop.pool.execute(REQUEST, "order", *values, expires_at)
    await recorded_when_final(shop, memos=["order"], block_time=expires_at + dt.timedelta(seconds=seconds_late))
    await look(shop, context)
    paid = await shop.pool.fetch("SELECT nonce, status FROM transactions")
    unmatched = await shop.pool.fetchval("SELECT count(*) FROM events WHERE type = 'transfer.unmatched'")
    expected = ([("order", "finalized")], 0) if seconds_late < 0 else ([], 1)
    assert ([tuple(row) for row in paid], unmatched) == expected


async def test_a_job_is_paid_back_where_its_settlement_wallet_has_another_user(shop, context):
    """Nothing is matched with what was another's when it was paid, and nothing may wait for ever."""
    await shop.pool.execute("UPDATE feed_position SET matched_until = clock_timestamp() - interval '60 days'")
    order, wallet = await shop.order(), str(shop.wallet.pubkey())
    await shop.pool.execute(
        "INSERT INTO former_recipients (address, user_id, owned_since, owned_until)"
        " SELECT address, user_id, owned_since, clock_timestamp() - interval '1 second' FROM recipients"
        " WHERE address = $1",
        wallet,
    )
    await shop.pool.execute(
        "UPDATE recipients SET user_id = 'heir', owned_since = clock_timestamp() - interval '1 second'"
        " WHERE address = $1",
        wallet,
    )
    await recorded_when_final(shop, memos=[order.nonce])
    await look(shop, context)
    fundings = await shop.pool.fetch("SELECT escrowed, rest, rest_reason FROM job_fundings")
    assert [tuple(row) for row in fundings] == [(0, PRICE, "closed")]
