"""Payments over x402 that we sign as their fee payers: reserved, stored, sent, decided.

A payment is known by the hash of its message. Every write is one statement with its event in it, and moves a status
only from where it is believed to stand: whoever comes second changes nothing. Functions take a database connection or
pool. `ledger.claims.claim_settled` settles what the ledger has.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from ledger.sql import Database, DatabasePool, from_row, load_queries
from ledger.states import OPEN_SETTLEMENTS, ClaimStatus, SettlementStatus

_queries = load_queries("ledger", "settlements.sql")

_BUDGET_CONSTRAINT: Final = "settlement_budget_"
FIRST: Final = (dt.datetime.fromtimestamp(0, dt.UTC), UUID(int=0))
"""The place before the first page of `open_settlements`."""


class FailureReason(StrEnum):
    """Why a payment failed after we had signed it; the values are those of the protocol."""

    FAILED_ON_CHAIN = "invalid_exact_svm_transaction_failed"
    """It landed, finalized, and did nothing but cost its fee."""
    NEVER_LANDED = "invalid_transaction_state"
    """Its blockhash has died, and no node has it in its history."""
    PAID_ANOTHER = "invalid_exact_svm_payload_recipient_mismatch"
    """It landed, finalized, and `payTo` has nothing of it: a token account was another's, or it was given back."""


class BudgetScope(StrEnum):
    """Whose budget of lamports a fee counts against, each by the day."""

    ALL = "all"
    MERCHANT = "merchant"
    PAYER = "payer"
    KEYLESS = "keyless"
    """All payments that callers without an API key have settled."""
    KEYLESS_MERCHANT = "keyless_merchant"
    """Those of one merchant: they do not count against the merchant's own."""


@dataclass(frozen=True, slots=True)
class FeeBudgets:
    """The most lamports that fees may cost in one day, in UTC: in all, for one merchant, for one payer.

    Payments of callers without an API key may cost `keyless_percent` of what all may, and besides what a merchant's own
    may cost as much of that.
    """

    lamports_of_day_max: int
    lamports_of_merchant_max: int
    lamports_of_payer_max: int
    keyless_percent: int = 20


@dataclass(frozen=True, slots=True)
class SignedPayment:
    """What is reserved: a payment with the bytes that we have signed and shown to nobody.

    Attributes:
        message_hash: SHA-256 of the message.
        user_id: The merchant, whose wallet `pay_to` is.
        protocol_version: Of x402, 1 or 2.
        payer: The authority of the transfer.
        destination: The token account that is paid.
        amount: In base units of `mint`.
        memo: The memo of the transaction, whoever chose it.
        required_memo: What the seller required the memo to be; where it is the nonce of a payment request to `pay_to`,
            that one is paid.
        final_only: Only a finalized transfer settles it.
        signature: The fee payer's, by which the chain knows the transaction.
        wire: The signed bytes.
        last_valid_block_height: Beyond it, finalized, it can never land.
        payment_identifier: The caller's own id for it, unique for the merchant.
        payload_hash: SHA-256 of what was asked, to which `payment_identifier` is bound.
        lamports: The most that the fee can be.
        has_key: Whether its caller has an API key of the merchant's.
        signed_slot: The newest slot that was seen when it was signed.
    """

    message_hash: bytes
    user_id: str
    environment: str
    protocol_version: int
    network: str
    payer: str
    fee_payer: str
    pay_to: str
    mint: str
    destination: str
    amount: int
    memo: str | None
    required_memo: str | None
    resource: str | None
    final_only: bool
    signature: str
    wire: bytes
    last_valid_block_height: int
    payment_identifier: str | None
    payload_hash: bytes
    lamports: int
    has_key: bool = True
    signed_slot: int | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """A payment as it stands. `claim_status` is that of the claim that holds its transfer.

    `answered_at` is set once the answer that it is settled has gone out, or its transfer has honoured another claim:
    then no other caller gets that answer.
    """

    id: UUID
    user_id: str
    protocol_version: int
    network: str
    payer: str
    pay_to: str
    mint: str
    amount: int
    signature: str
    wire: bytes | None
    last_valid_block_height: int
    payment_identifier: str | None
    payload_hash: bytes
    status: SettlementStatus
    reason: str | None
    detail: str | None
    slot: int | None
    final_only: bool
    answering_since: dt.datetime | None
    answered_at: dt.datetime | None
    created_at: dt.datetime
    decided_at: dt.datetime | None
    claim_status: ClaimStatus | None

    @property
    def is_open(self) -> bool:
        """True while it is not decided."""
        return self.status in OPEN_SETTLEMENTS

    @property
    def is_used_elsewhere(self) -> bool:
        """True when its transfer honoured another claim before it was settled: nobody ever set out to answer it."""
        return self.answered_at is not None and self.answering_since is None

    @property
    def is_settled(self) -> bool:
        """True when the ledger has its transfer."""
        return self.status == SettlementStatus.SETTLED


@dataclass(frozen=True, slots=True)
class OpenSettlement:
    """A payment under way, for the worker.

    It `is_indexed` when the ledger has its transfer, not settled by it yet, and `is_received` when enough nodes have
    seen that; it `is_given_back` when somebody noted that of this transfer, which settles nothing then.
    """

    id: UUID
    signature: str
    pay_to: str
    mint: str
    destination: str
    wire: bytes
    last_valid_block_height: int
    signed_slot: int | None
    status: SettlementStatus
    created_at: dt.datetime
    age_seconds: float
    is_indexed: bool
    is_received: bool
    is_given_back: bool


@dataclass(frozen=True, slots=True)
class SettlementCount:
    """How many settlements have a status, and how old the oldest of them is."""

    status: SettlementStatus
    settlements: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class BudgetUse:
    """What of a budget for fees of today is reserved."""

    lamports: int
    lamports_max: int


async def reserve(database: Database, payment: SignedPayment, budgets: FeeBudgets) -> Settlement | None:
    """Reserve a payment and keep its bytes, in one statement; only then may it be sent.

    Returns:
        The settlement; `None` where its message, its payment identifier or the payment request that it names has
        a settlement already, or its wallet is not followed for the merchant.

    Raises:
        asyncpg.CheckViolationError: A budget would be exceeded: `exceeded_budget` says which. Nothing was reserved.
    """
    row = await _queries.reserve_settlement(database, **asdict(payment), **asdict(budgets))
    return from_row(Settlement, row) if row else None


def exceeded_budget(constraint_name: str | None) -> BudgetScope | None:
    """The budget whose constraint this is; `None` for any other constraint."""
    name = constraint_name or ""
    return BudgetScope(name.removeprefix(_BUDGET_CONSTRAINT)) if name.startswith(_BUDGET_CONSTRAINT) else None


async def find_by_message(database: Database, message_hash: bytes) -> Settlement | None:
    """The settlement of a message, by its SHA-256."""
    return await _find(database, message_hash=message_hash)


async def find_by_id(database: Database, settlement_id: UUID) -> Settlement | None:
    """The settlement of this id."""
    return await _find(database, ids=[settlement_id])


async def find_each(database: Database, ids: Sequence[UUID]) -> list[Settlement | None]:
    """The settlements of these ids, in their order."""
    found = {one.id: one for one in await _find_all(database, ids=list(ids))}
    return [found.get(one) for one in ids]


async def find_by_signature(database: Database, signature: str) -> Settlement | None:
    """The settlement whose transaction has this signature."""
    return await _find(database, signature=signature)


async def find_by_identifier(database: Database, user_id: str, payment_identifier: str) -> Settlement | None:
    """The settlement that a merchant's caller gave this identifier."""
    return await _find(database, user_id=user_id, payment_identifier=payment_identifier)


async def _find(database: Database, **by: Any) -> Settlement | None:
    return next(iter(await _find_all(database, **by)), None)


async def _find_all(database: Database, **by: Any) -> list[Settlement]:
    names = ("ids", "message_hash", "signature", "user_id", "payment_identifier")
    rows = _queries.find_settlements(database, **{name: by.get(name) for name in names})
    return [from_row(Settlement, row) async for row in rows]


async def begin_answers(database: Database, ids: Sequence[UUID], *, answering_seconds: float) -> list[bool]:
    """Set out to answer that payments are settled; false where one was answered, or somebody else is at it.

    Whoever is at it for longer than `answering_seconds` has died. Of an id that stands there twice, the first may.
    """
    rows = _queries.begin_settled_answers(database, ids=list(ids), answering_seconds=answering_seconds)
    begun = {row["id"] async for row in rows}
    return [one in begun and one not in ids[:place] for place, one in enumerate(ids)]


async def end_answers(database: Database, ids: Sequence[UUID]) -> None:
    """Note that the answers have gone out."""
    await _queries.end_settled_answers(database, ids=list(ids))


async def give_up_answer(database: Database, settlement_id: UUID) -> None:
    """Note that the answer did not go out: its caller had gone."""
    await _queries.give_up_settled_answer(database, id=settlement_id)


async def note_sent(database: Database, ids: Sequence[UUID]) -> None:
    """Note that nodes have taken these."""
    await _queries.note_settlements_sent(database, ids=list(ids))


async def fail(
    database: DatabasePool,
    settlement_id: UUID,
    *,
    reason: FailureReason,
    detail: str | None,
    slot: int | None = None,
    may_have_cost: bool = False,
) -> bool:
    """Let an open settlement fail, in its own transaction; false where it is decided, or the ledger has its transfer.

    Args:
        database: A pool.
        settlement_id: Which.
        reason: Why.
        detail: What the chain said.
        slot: Where it failed on chain, which has cost its fee; `None` where it never landed.
        may_have_cost: Its fee is counted as spent though it never landed, for not all nodes say so.
    """
    is_spent = slot is not None or may_have_cost
    async with database.acquire() as connection, connection.transaction():
        await _queries.lock_settlement(connection, id=settlement_id)
        return bool(
            await _queries.fail_settlement(
                connection, id=settlement_id, reason=reason.value, detail=detail, slot=slot, is_spent=is_spent
            )
        )


async def reopen_undone(database: Database) -> int:
    """Have payments sent again whose transfers a fork has undone; returns how many."""
    moved: int = await _queries.reopen_undone(database)
    return moved


async def settlements_with_transfers(database: Database, *, limit: int) -> list[UUID]:
    """Settlements that are not settled though the ledger has their transfers."""
    return [row["id"] async for row in _queries.settlements_with_transfers(database, limit=limit)]


async def open_settlements(
    database: Database, *, older_seconds: float, after: tuple[dt.datetime, UUID] = FIRST, limit: int
) -> list[OpenSettlement]:
    """A page of payments under way for longer than `older_seconds`, oldest first, from behind `after` on."""
    rows = _queries.open_settlements(
        database, older_seconds=older_seconds, after_created_at=after[0], after_id=after[1], limit=limit
    )
    return [from_row(OpenSettlement, row) async for row in rows]


async def end_by(database: Database, ids: Sequence[UUID], *, height: int, slot: int) -> None:
    """Note that nothing of these that is under way can land beyond a block height, or was signed after a slot."""
    await _queries.end_settlements_by(database, ids=list(ids), height=height, slot=slot)


async def vanished_wires(database: Database, *, limit: int) -> list[bytes]:
    """The bytes of settled payments that a fork took off the chain, until they land again or never can."""
    return [row["wire"] async for row in _queries.vanished_wires(database, limit=limit)]


async def count_settlements(database: Database) -> list[SettlementCount]:
    """How many settlements there are by status."""
    return [from_row(SettlementCount, row) async for row in _queries.settlement_counts(database)]


async def budget_of_day(database: Database) -> BudgetUse | None:
    """What of today's budget for all fees is reserved, or of that without API keys if it is nearer its end.

    `None` where nothing is reserved yet.
    """
    row = await _queries.budget_of_day(database)
    return from_row(BudgetUse, row) if row else None


async def prune_wires(database: Database, *, limit: int, keep_seconds: float) -> int:
    """Remove bytes that were decided longer than `keep_seconds` ago; returns how many."""
    emptied: int = await _queries.prune_wires(database, limit=limit, keep_seconds=keep_seconds)
    return emptied


async def prune_budgets(database: Database, *, limit: int, keep_seconds: float) -> int:
    """Remove what was reserved on days longer than `keep_seconds` ago; returns how many rows."""
    gone: int = await _queries.prune_budgets(database, limit=limit, keep_seconds=keep_seconds)
    return gone
