"""Payments that nobody claims are news to whoever was paid, once."""

import pytest
from solders.keypair import Keypair

from ledger.recipients import register_wallet
from tests.support.feed_publishing import publish
from tests.support.job_shop import fast_settings
from tests.support.ledger_rows import book
from worker.context import open_worker_context
from worker.feed.unmatched import log_unmatched


@pytest.fixture
async def context(net, database_url):
    async with open_worker_context(fast_settings(), database_url, [net.rpc_url]) as opened:
        yield opened


async def paid(pool, wallet, ago):
    signature = await book(pool, Keypair().pubkey(), wallet, 10_000, finality="finalized")
    await pool.execute(
        "INSERT INTO events (type, subject, data, at) VALUES ('transfer.finalized', $1, '{\"path\": \"0\"}',"
        " clock_timestamp() - make_interval(secs => $2))",
        signature, ago,
    )  # fmt: skip
    return signature


async def test_what_nobody_claims_is_logged_once_and_only_after_its_time(context, pool):
    await pool.execute("UPDATE feed_position SET matched_until = '-infinity'")
    wallet = str(Keypair().pubkey())
    await register_wallet(pool, address=wallet, user_id="merchant", label=None, followed_from_slot=0)
    unclaimed, claimed = [await paid(pool, wallet, 1_500.0) for _ in range(2)]
    await paid(pool, wallet, 60.0)
    await paid(pool, str(Keypair().pubkey()), 1_500.0)
    await pool.execute(
        "INSERT INTO transactions (user_id, nonce, signature, path, payer, recipient, mint, currency, amount,"
        " least_amount, received, status) SELECT 'merchant', 'order', signature, path, source_owner, destination_owner,"
        " mint, 'USDC', 10000, 10000, 10000, 'confirmed' FROM transfers WHERE signature = $1",
        claimed,
    )
    assert await log_unmatched(context) == 1
    assert await log_unmatched(context) == 0
    await publish(pool)
    (body,) = await pool.fetch("SELECT body::jsonb AS body FROM feed WHERE type = 'unmatched.received'")
    assert body["body"]["data"]["signature"] == unclaimed
    assert (body["body"]["userId"], body["body"]["data"]["finality"]) == ("merchant", "finalized")
