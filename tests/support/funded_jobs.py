"""Jobs of the marketplace as rows, funded and with a payout that waits, for pages that only look at them."""

import datetime as dt
import uuid

from solders.keypair import Keypair

from ledger.sql import Database
from localnet.payments import USDC
from tests.support.ledger_rows import book

PRICE = 2_500_000


async def ordered_job(pool: Database, wallet, *, name="Summaries", client="client", provider="provider", order=None):
    """A job that nobody has funded, to be paid to `wallet` of the user `operations`; returns its id."""
    service = await pool.fetchval(
        """
        INSERT INTO agent_services (user_id, agent_id, payout_address, name, category, pricing_model, price_amount,
          price_mint, price_currency)
        VALUES ($1, $2, $3, $4, 'ai', 'fixed', $5, $6, 'USDC') RETURNING id
        """,
        provider, f"{provider} agent", str(Keypair().pubkey()), name, PRICE, str(USDC),
    )  # fmt: skip
    job = await pool.fetchval(
        """
        INSERT INTO job_requests (service_id, client_user_id, client_agent_id, provider_user_id, provider_agent_id,
          payout_address, price_amount, price_mint, price_currency, nonce, reference, settlement_wallet,
          settlement_user_id, environment, fund_until, deadline, input)
        SELECT id, $2, $2 || ' agent', user_id, agent_id, payout_address, price_amount, price_mint, 'USDC', $3, $4, $5,
          'operations', 'live', now() + interval '1 hour', $6, $7
        FROM agent_services WHERE id = $1 RETURNING id
        """,
        service, client, uuid.uuid4().hex, str(Keypair().pubkey()), wallet,
        dt.datetime(2026, 12, 24, 18, tzinfo=dt.UTC), order,
    )  # fmt: skip
    await pool.execute(
        "INSERT INTO events (type, subject, user_id, data) VALUES ('job.pending', $1, $2, $3)", str(job), client, {}
    )
    return job


async def paid_by_hand(pool: Database, payout, nonce_account):
    """Let a payout be exported under a nonce account, and then paid by a transfer that does not name it."""
    await pool.execute("UPDATE payouts SET status = 'queued', waiting_reason = NULL WHERE id = $1", payout)
    await pool.execute("UPDATE payouts SET status = 'awaiting_signature' WHERE id = $1", payout)
    await pool.execute(
        "INSERT INTO payout_attempts (payout_id, source_account, message, nonce_account, nonce_value, nonce_slot)"
        " SELECT id, wallet, 'exported', $2, $2, 5 FROM payouts WHERE id = $1",
        payout, nonce_account,
    )  # fmt: skip
    row = await pool.fetchrow("SELECT wallet, recipient FROM payouts WHERE id = $1", payout)
    return await book(pool, row["wallet"], row["recipient"], PRICE, finality="finalized")


async def waiting_payout(pool: Database, job, *, kind="release", reason="approved", waits_for="insufficient_funds"):
    """Fund a job and let a payout of it wait; returns the payout's id."""
    row = await pool.fetchrow("SELECT * FROM job_requests WHERE id = $1", job)
    payer = str(Keypair().pubkey())
    paid = await book(pool, payer, row["settlement_wallet"], PRICE, finality="finalized")
    claim = await pool.fetchval(
        """
        INSERT INTO transactions (user_id, nonce, signature, path, payer, recipient, mint, currency, amount,
          least_amount, received, status)
        SELECT 'operations', $2, signature, path, source_owner, destination_owner, mint, 'USDC', amount, amount, amount,
          'finalized'
        FROM transfers WHERE signature = $1 RETURNING id
        """,
        paid, row["nonce"],
    )  # fmt: skip
    await pool.execute("UPDATE job_requests SET escrow_status = 'escrowed', escrowed_at = now() WHERE id = $1", job)
    await pool.execute(
        "INSERT INTO job_fundings (claim_id, job_id, escrowed, rest) VALUES ($1, $2, $3, 0)", claim, job, PRICE
    )
    payout = await pool.fetchval(
        """
        INSERT INTO payouts (job_id, claim_id, part, kind, reason, wallet, recipient, mint, amount, reference)
        VALUES ($1, $2, 'escrow', $3, $4, $5, $6, $7, $8, $9) RETURNING id
        """,
        job, claim, kind, reason, row["settlement_wallet"], payer if kind == "refund" else row["payout_address"],
        str(USDC), PRICE, str(Keypair().pubkey()),
    )  # fmt: skip
    await pool.execute("UPDATE payouts SET status = 'waiting', waiting_reason = $2 WHERE id = $1", payout, waits_for)
    await pool.execute(
        "INSERT INTO events (type, subject, data) VALUES ('payout.waiting', $1, $2)",
        str(payout), {"reason": waits_for},
    )  # fmt: skip
    return payout
