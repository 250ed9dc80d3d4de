"""Payouts and the signed attempts at sending them, as the database holds them.

Functions take a database connection or pool. A payout moves only from the status in which it is believed to be, and it
has one living attempt at most: whoever comes second changes nothing.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from uuid import UUID

from chain.cluster_rules import BLOCKHASH_LIFETIME_BLOCKS
from ledger.sql import Database, DatabasePool, from_row, load_queries
from ledger.states import PayoutStatus

_queries = load_queries("worker.payouts", "rows.sql")


@dataclass(frozen=True, slots=True)
class Payout:
    """Money to send: `amount` base units of `mint` are owed by the settlement wallet `wallet` to `recipient`.

    Attributes:
        kind: `release` or `refund`.
        reference: The key that every attempt carries.
        tries: How many attempts and waits came to nothing.
        brought: What its claim received in all.
        came_from: The account that the money came from, `None` where it came from none.
        symbol: Of the token, `None` where it has none.
        decimals: Of the token.
        is_asked: Somebody asked for it though it is small, or one of many.
        refunds_of_day: How many refunds the recipient was sent in the last 24 hours.
        unborne_lamports: Fees of attempts that failed on chain, for which nothing was kept and nothing given.
        gift_left_lamports: What of the budgets for network fees is left for its recipient today.
    """

    id: UUID
    kind: str
    wallet: str
    recipient: str
    mint: str
    amount: int
    reference: str
    tries: int
    brought: int
    came_from: str | None
    symbol: str | None
    decimals: int | None
    is_asked: bool
    refunds_of_day: int
    unborne_lamports: int = 0
    gift_left_lamports: int = 0


@dataclass(frozen=True, slots=True)
class GiftBudget:
    """Network fees that are not taken from what is paid out, in lamports of the last 24 hours."""

    payee_lamports_max: int
    day_lamports_max: int


@dataclass(frozen=True, slots=True)
class Costs:
    """What an attempt costs the settlement wallet, and who bears it.

    Attributes:
        fee_lamports: The network's fee.
        rent_lamports: For opening the recipient's account.
        gift_lamports: What of it, and of attempts that failed before, is ours to bear.
        charged_lamports: The rest, for which `charged` is kept.
        charged: What is kept of the payout, in base units of its token.
    """

    fee_lamports: int
    rent_lamports: int
    gift_lamports: int
    charged_lamports: int
    charged: int


@dataclass(frozen=True, slots=True)
class DurableNonce:
    """By what a transaction may land for days: while `account` holds `value`, as it was seen to at finalized `slot`."""

    account: str
    value: str
    slot: int


@dataclass(frozen=True, slots=True)
class NonceUse:
    """An attempt that was given a value of a nonce account, and what became of it."""

    payout_id: UUID
    nonce_value: str
    created_at: dt.datetime
    signature: str | None
    dead_from_slot: int | None
    outcome: str | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A transaction made for a payout that may still land.

    Attributes:
        signature: Of the signed bytes `wire`; both are `None` while an operator is to sign.
        last_valid_block_height: Beyond this height, finalized, it can never land; `None` where it lives by `nonce`.
        signed_slot: The newest slot that was seen when it was made; `None` where it lives by `nonce`, or is old.
        dead_from_slot: A finalized slot beyond that height, or where its nonce was advanced; `None` until there is one.
        error: What a node said of it last.
        status: Of its payout.
        reference: Of its payout.
        age_seconds: How long ago it was stored.
    """

    id: UUID
    payout_id: UUID
    signature: str | None
    wire: bytes | None
    last_valid_block_height: int | None
    signed_slot: int | None
    dead_from_slot: int | None
    nonce_account: str | None
    nonce_value: str | None
    nonce_slot: int | None
    error: str | None
    status: PayoutStatus
    reference: str
    age_seconds: float

    @property
    def nonce(self) -> DurableNonce | None:
        """By what it may land for days; `None` where it lives by a recent blockhash."""
        return _nonce(self.nonce_account, self.nonce_value, self.nonce_slot)


def _nonce(account: str | None, value: str | None, slot: int | None) -> DurableNonce | None:
    return DurableNonce(account, value, slot) if account and value and slot is not None else None


@dataclass(frozen=True, slots=True)
class PayoutToSign:
    """A payout that waits for an operator's signature, with the message of its living attempt, if it has one."""

    payout: Payout
    message: bytes | None
    last_valid_block_height: int | None
    nonce: DurableNonce | None


@dataclass(frozen=True, slots=True)
class ListedPayout:
    """A payout as it is listed, with how many attempts it took and what went wrong with the newest."""

    id: UUID
    job_id: UUID
    kind: str
    reason: str
    wallet: str
    recipient: str
    mint: str
    amount: int
    reference: str
    status: PayoutStatus
    waiting_reason: str | None
    tries: int
    next_try_at: dt.datetime
    settled_signature: str | None
    created_at: dt.datetime
    settled_at: dt.datetime | None
    symbol: str | None
    decimals: int
    attempts: int
    error: str | None


async def list_payouts(database: Database, *, status: PayoutStatus | None, limit: int) -> list[ListedPayout]:
    """Payouts, of one status or of all, open ones first."""
    return [from_row(ListedPayout, row) async for row in _queries.payouts(database, status=status, limit=limit)]


async def requeue_waiting(database: Database) -> int:
    """Queue payouts again that have waited for long enough; returns how many."""
    moved: int = await _queries.requeue_waiting(database)
    return moved


async def retry_payouts(database: Database, ids: Sequence[UUID]) -> int:
    """Queue waiting payouts again at once, these or, without any, all of them; returns how many."""
    moved: int = await _queries.retry_payouts(database, ids=list(ids))
    return moved


async def leave_to_operator(database: Database, signer: str | None) -> int:
    """Let payouts from other wallets than `signer` wait for an operator's signature; returns how many."""
    moved: int = await _queries.leave_to_operator(database, signer=signer)
    return moved


async def take_from_operator(database: Database, signer: str) -> int:
    """Queue payouts from `signer` that waited for an operator's signature and have no living attempt."""
    moved: int = await _queries.take_from_operator(database, signer=signer)
    return moved


async def queued_payouts(database: Database, budget: GiftBudget, *, limit: int) -> list[Payout]:
    """Payouts to sign now, oldest first."""
    rows = _queries.queued_payouts(database, **asdict(budget), limit=limit)
    return [from_row(Payout, row) async for row in rows]


async def wait_payout(database: Database, payout_id: UUID, reason: str, *, pause_seconds: float) -> None:
    """Let a queued payout wait for `reason` and be tried again after the pause."""
    await _queries.wait_payout(database, id=payout_id, reason=reason, pause_seconds=pause_seconds)


async def store_signed(
    pool: DatabasePool,
    payout_id: UUID,
    costs: Costs,
    budget: GiftBudget,
    *,
    recipient: str,
    source_account: str,
    message: bytes,
    last_valid_block_height: int,
    signature: str,
    wire: bytes,
    signed_slot: int | None = None,
) -> UUID | None:
    """Keep the signed bytes of an attempt before anybody can see them, with what it costs and who bears that.

    Returns:
        The attempt's id; `None` where the payout has a living attempt already, is not queued any more, or goes to
        another wallet than `recipient`, or where others have used up the budget of fees meanwhile.
    """
    async with pool.acquire() as connection, connection.transaction():
        await _queries.lock_gifts(connection)
        stored: UUID | None = await _queries.store_signed(
            connection,
            payout_id=payout_id,
            recipient=recipient,
            source_account=source_account,
            message=message,
            last_valid_block_height=last_valid_block_height,
            signed_slot=signed_slot,
            signature=signature,
            wire=wire,
            **asdict(costs),
            **asdict(budget),
        )
        return stored


async def payouts_to_sign(
    database: Database, ids: Sequence[UUID], budget: GiftBudget, *, limit: int
) -> list[PayoutToSign]:
    """Payouts that wait for an operator's signature, these or, without any, all of them, oldest first."""
    rows = _queries.payouts_to_sign(database, ids=list(ids), **asdict(budget), limit=limit)
    return [
        PayoutToSign(
            from_row(Payout, row),
            row["message"],
            row["last_valid_block_height"],
            _nonce(row["nonce_account"], row["nonce_value"], row["nonce_slot"]),
        )
        async for row in rows
    ]


async def store_unsigned(
    pool: DatabasePool,
    payout_id: UUID,
    costs: Costs,
    budget: GiftBudget,
    *,
    recipient: str,
    source_account: str,
    message: bytes,
    last_valid_block_height: int | None,
    nonce: DurableNonce | None,
    signed_slot: int | None = None,
) -> UUID | None:
    """Keep the message of an attempt that an operator is to sign. Returns as `store_signed` does.

    It lives until `last_valid_block_height` or by `nonce`; `None` also where that was given to another attempt.
    """
    async with pool.acquire() as connection, connection.transaction():
        await _queries.lock_gifts(connection)
        stored: UUID | None = await _queries.store_unsigned(
            connection,
            payout_id=payout_id,
            recipient=recipient,
            source_account=source_account,
            message=message,
            last_valid_block_height=last_valid_block_height,
            signed_slot=signed_slot,
            nonce_account=nonce.account if nonce else None,
            nonce_value=nonce.value if nonce else None,
            nonce_slot=nonce.slot if nonce else None,
            **asdict(costs),
            **asdict(budget),
        )
        return stored


async def store_imported(database: Database, *, message: bytes, signature: str, wire: bytes) -> UUID | None:
    """Keep the bytes that an operator has signed.

    Returns:
        The payout's id; `None` where `message` is not that of a living attempt without a signature.
    """
    payout_id: UUID | None = await _queries.store_imported(database, message=message, signature=signature, wire=wire)
    return payout_id


async def living_attempts(database: Database, *, limit: int) -> list[Attempt]:
    """Attempts that may still land, oldest first."""
    return [from_row(Attempt, row) async for row in _queries.living_attempts(database, limit=limit)]


async def note_sent(database: Database, attempt_id: UUID) -> None:
    """Note that a node has taken an attempt."""
    await _queries.note_sent(database, id=attempt_id)


async def note_attempt_error(database: Database, attempt_id: UUID, error: str) -> None:
    """Note what a node said against an attempt; it may land all the same."""
    await _queries.note_attempt_error(database, id=attempt_id, error=error)


async def end_by(database: Database, attempt_ids: Sequence[UUID], *, height: int, slot: int) -> None:
    """Note that none of these living attempts can land beyond a block height, or was made after a slot."""
    await _queries.end_attempts_by(database, ids=list(attempt_ids), height=height, slot=slot)


async def note_beyond(database: Database, attempt_ids: Sequence[UUID], *, slot: int, height: int) -> None:
    """Note that the finalized block at `slot` and `height` is beyond the last at which these attempts could land."""
    lifetime = BLOCKHASH_LIFETIME_BLOCKS
    await _queries.note_beyond(database, ids=list(attempt_ids), slot=slot, height=height, lifetime_blocks=lifetime)


async def note_advanced(database: Database, attempt_id: UUID, *, slot: int) -> None:
    """Note that the nonce by which an attempt could land was advanced at the finalized `slot`."""
    await _queries.note_advanced(database, id=attempt_id, slot=slot)


async def uses_of_nonce(database: Database, nonce_account: str, *, limit: int) -> list[NonceUse]:
    """The attempts that were given a value of a nonce account, newest first."""
    rows = _queries.uses_of_nonce(database, nonce_account=nonce_account, limit=limit)
    return [from_row(NonceUse, row) async for row in rows]


async def proven_absent(database: Database, attempt_ids: Sequence[UUID]) -> frozenset[UUID]:
    """Of these attempts, those of which the ledger, proven complete beyond the end of their lives, knows nothing."""
    rows = _queries.proven_absent(database, ids=list(attempt_ids))
    return frozenset([row["id"] async for row in rows])


async def landed_for_nothing(database: Database, attempt_ids: Sequence[UUID]) -> frozenset[UUID]:
    """Of these attempts, those that are final in the ledger and moved nothing, as of one to the wallet that pays."""
    rows = _queries.landed_for_nothing(database, ids=list(attempt_ids))
    return frozenset([row["id"] async for row in rows])


async def idle_signatures(database: Database, reference: str) -> frozenset[str]:
    """Transactions with a payout's reference that are final in the ledger and moved nothing."""
    rows = _queries.idle_signatures(database, reference=reference)
    return frozenset([row["signature"] async for row in rows])


async def end_attempt(
    database: Database,
    attempt_id: UUID,
    *,
    outcome: str,
    error: str | None,
    pause_seconds: float,
    pause_max_seconds: float,
) -> bool:
    """End an attempt that can never land, and queue its payout again; false where it has ended or is settled.

    The pause before the next attempt doubles with each that came to nothing, up to `pause_max_seconds`.
    """
    ended = await _queries.end_attempt(
        database,
        id=attempt_id,
        outcome=outcome,
        error=error,
        pause_seconds=pause_seconds,
        pause_max_seconds=pause_max_seconds,
    )
    return ended is not None
