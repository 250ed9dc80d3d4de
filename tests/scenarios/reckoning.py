"""What must be true of money at the end of a round with strangers, read from the chain itself and not from our decoder.

- No claim is honoured without a net gain: in its transaction, the owner of the money gained at least what is claimed.
- What only one node knows has honoured nothing, not even for a moment.
- Of a claim, no more went out than had come in.
- Every lamport of the settlement wallet is explained: what came in, fees, rent of accounts that a release opened, and
  native SOL that was paid out. What goes back opens no account at our cost.
"""

import asyncio
import time
from collections import Counter, defaultdict

import asyncpg
from solders.pubkey import Pubkey

from ledger.tokens import NATIVE_SOL

HONOURED = ("confirmed", "finalized")


def gains(executed) -> Counter:
    """What each owner gained in a transaction, by owner and mint, in base units; fees count as a loss."""
    gained = Counter()
    for sign, balances in ((-1, executed.pre_token_balances), (1, executed.post_token_balances)):
        for balance in balances:
            gained[str(balance.owner), str(balance.mint)] += sign * balance.amount
    for key, pre, post in zip(executed.keys, executed.pre_balances, executed.post_balances, strict=True):
        gained[str(key), NATIVE_SOL] += post - pre
    return gained


async def no_claim_without_a_gain(pool: asyncpg.Pool, chain) -> None:
    """Fail on a claim whose transaction did not bring its amount to the wallet that was to be paid."""
    claimed = defaultdict(Counter)
    for row in await pool.fetch(
        "SELECT c.signature, t.destination_owner, t.mint, sum(c.received) AS received FROM transactions AS c"
        " JOIN transfers AS t USING (signature, path) WHERE c.status::text = ANY($1::text[]) GROUP BY 1, 2, 3",
        HONOURED,
    ):
        claimed[row["signature"]][row["destination_owner"], row["mint"]] = int(row["received"])
    for signature, amounts in claimed.items():
        executed = chain.find(signature)
        assert executed is not None, f"honoured without a transaction on chain: {signature}"
        assert executed.err is None, f"honoured by a transaction that failed: {signature}"
        gained = gains(executed)
        for (owner, mint), amount in amounts.items():
            assert amount <= gained[owner, mint], f"{signature}: {owner} gained {gained[owner, mint]}, claimed {amount}"


async def no_invention_was_honoured(pool: asyncpg.Pool, invented: set[str]) -> None:
    """Fail on a payment that one node made up and that honoured a claim, even for a moment."""
    honoured = await pool.fetch(
        "SELECT c.signature, e.type FROM transactions AS c JOIN events AS e ON e.subject = c.id::text"
        " WHERE c.signature = ANY($1::text[]) AND e.type IN ('claim.confirmed', 'claim.finalized')",
        list(invented),
    )
    assert not honoured, f"invented and honoured: {list(map(dict, honoured))}"


async def no_more_out_than_in(pool: asyncpg.Pool) -> None:
    """Fail on a claim of which more is or was to be sent, fees of the token included, than it received."""
    beyond = await pool.fetch(
        "SELECT c.id, c.received, sum(p.amount + p.token_fee) AS out FROM payouts AS p"
        " JOIN transactions AS c ON c.id = p.claim_id GROUP BY c.id, c.received"
        " HAVING sum(p.amount + p.token_fee) > c.received"
    )
    assert not beyond, f"more out than in: {list(map(dict, beyond))}"


async def payouts_have_ended(pool: asyncpg.Pool, seconds: float = 60.0) -> None:
    """Wait until no payout is under way; one that waits for something may go on waiting."""
    deadline = time.monotonic() + seconds
    while under_way := await pool.fetch(
        "SELECT p.id, p.kind, p.status, a.sent_at FROM payouts AS p LEFT JOIN payout_attempts AS a"
        " ON a.payout_id = p.id AND a.ended_at IS NULL WHERE p.status IN ('queued', 'signed', 'sent')"
    ):
        assert time.monotonic() < deadline, f"payouts that never end: {list(map(dict, under_way))}"
        await asyncio.sleep(0.2)


async def lamports_are_explained(pool: asyncpg.Pool, chain, wallet: Pubkey) -> Counter:
    """Fail on a lamport that left the settlement wallet without a reason; returns what was spent, by reason."""
    # The chain is read first: a payout is in the ledger before it is sent.
    history, account = list(chain.history(wallet)), chain.account(wallet)
    payouts = {
        row["signature"]: row
        for row in await pool.fetch(
            "SELECT a.signature, p.kind, p.mint, p.amount - p.charged AS sent, p.rent_lamports, a.fee_lamports"
            " FROM payout_attempts AS a"
            " JOIN payouts AS p ON p.id = a.payout_id WHERE a.signature IS NOT NULL"
        )
    }
    spent, balance = Counter(), 0
    for executed in history:
        moved = gains(executed)[str(wallet), NATIVE_SOL]
        balance += moved
        if moved >= 0:
            spent["came in"] -= moved
            continue
        assert executed.signature in payouts, f"{-moved} lamports left in {executed.signature}, which is no payout"
        payout = payouts[executed.signature]
        is_native = payout["mint"] == NATIVE_SOL and executed.err is None
        native = int(payout["sent"]) if is_native else 0
        opened = -moved - executed.fee - native
        spent["fees"] += executed.fee
        spent["native SOL"] += native
        spent[f"accounts opened by a {payout['kind']}"] += opened
        assert 0 <= opened <= payout["rent_lamports"], (executed.signature, opened, payout["rent_lamports"])
        assert executed.fee == payout["fee_lamports"], (executed.signature, executed.fee, payout["fee_lamports"])
    assert balance == (account.lamports if account else 0), (balance, spent)
    assert not spent["accounts opened by a refund"], spent
    return spent
