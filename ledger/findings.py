"""Findings of reconciliations and what people decide about them: accepted, given back, or noted.

A finding is known by what it is about, so that a decision stands when the next report finds it again. No decision moves
money: what a wallet has received its owner alone can give back, and the ledger shows that it was. Each decision is one
statement with its event in it; the same one twice is one. Functions take a database connection or pool.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal
from uuid import UUID

from ledger.sql import Database, DatabaseConnection, DatabasePool, from_row, load_queries, planned_for_its_values
from ledger.states import PayoutStatus

_queries = load_queries("ledger", "findings.sql")

_DECISIONS_MAX: Final = 100
_TRANSFERS_BACK_MAX: Final = 5

GIVEN_BACK: Final = "it was given back"
"""Why a payment over x402 has failed that somebody gave back before it was settled."""

FindingState = Literal["open", "accepted", "refunded"]
"""`refunded` is what was given back whole, `open` is what nobody has decided about yet."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a report found not to match; amounts in base units of `mint`, `at` in milliseconds since 1970.

    Attributes:
        id: The same in every report that finds it.
        amount: What came in.
        expected: What should have.
        refundable: What of it can be given back to its payer; 0 where nothing came in or nobody knows from whom.
        refunded: What of it is known to have been given back.
    """

    id: str
    kind: str
    user_id: str
    signature: str | None
    path: str | None
    mint: str
    amount: int
    expected: int | None
    payer: str | None
    recipient: str | None
    nonce: str | None
    claim_id: UUID | None
    code: str | None
    at: int
    refundable: int
    refunded: int
    state: FindingState


@dataclass(frozen=True, slots=True)
class FindingFilter:
    """Which findings are asked for; `None` is any."""

    user_id: str | None = None
    kind: str | None = None
    state: str | None = None


@dataclass(frozen=True, slots=True)
class PlaceAmongFindings:
    """Where a page of findings ended: the key of its last one."""

    at: int
    id: str


@dataclass(frozen=True, slots=True)
class FindingCount:
    """How many findings there are of a kind.

    Attributes:
        counted: In the report, of everybody.
        kept: Of the user, among those that the report keeps.
        open: Of these, those that nobody has decided about.
    """

    kind: str
    counted: int
    kept: int
    open: int


@dataclass(frozen=True, slots=True)
class FindingDecision:
    """What somebody decided; `refund_amount` in base units. A refund that was noted by mistake is `withdrawn`."""

    action: Literal["accepted", "refunded", "noted", "withdrawn"]
    note: str | None
    decided_by: str
    decided_at: dt.datetime
    refund_signature: str | None
    refund_amount: int | None
    withdrawn_by: str | None
    withdrawn_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class TransferBack:
    """A transfer that may have given a payment back; `amount` in base units."""

    signature: str
    path: str
    amount: int
    finality: str


@dataclass(frozen=True, slots=True)
class PayoutBack:
    """What the worker returns by itself of a payment; `amount` in base units."""

    id: UUID
    job_id: UUID
    status: PayoutStatus
    amount: int
    settled_signature: str | None


async def page_of_findings(
    database: DatabasePool, which: FindingFilter, *, after: PlaceAmongFindings | None, limit: int
) -> list[Finding]:
    """Findings of the newest report: at most `limit`, newest first, beginning behind `after`."""
    return await _page(database, which, None, after, limit)


async def find_finding(database: DatabasePool, finding_id: str, user_id: str | None) -> Finding | None:
    """A finding of the newest report, of a user or of anybody; `None` where there is none of this id."""
    found = await _page(database, FindingFilter(user_id), finding_id, None, 1)
    return found[0] if found else None


async def _page(
    database: DatabasePool, which: FindingFilter, finding_id: str | None, after: PlaceAmongFindings | None, limit: int
) -> list[Finding]:
    async with planned_for_its_values(database) as connection:
        rows = _queries.page_of_findings(
            connection,
            id=finding_id,
            after_at=after.at if after else None,
            after_id=after.id if after else None,
            limit=limit,
            **asdict(which),
        )
        return [_finding(row) async for row in rows]


async def count_findings(database: Database, user_id: str | None) -> list[FindingCount]:
    """How many findings of each kind the newest report has for a user, or for everybody; empty without a report."""
    return [from_row(FindingCount, row) async for row in _queries.count_findings(database, user_id=user_id)]


async def decisions_of(database: Database, finding: Finding) -> list[FindingDecision]:
    """What was decided about a finding, oldest first."""
    rows = _queries.decisions_of_finding(
        database, finding_id=finding.id, signature=finding.signature, path=finding.path, limit=_DECISIONS_MAX
    )
    return [from_row(FindingDecision, row) async for row in rows]


async def accept_finding(database: Database, finding: Finding, *, note: str | None, by: str) -> bool:
    """Leave what was found as it is; false where that was decided before."""
    return await _decide(database, finding, "accepted", note, by)


async def note_finding(database: Database, finding: Finding, *, note: str, by: str) -> bool:
    """Write something down about a finding; false where the same is noted, or more than can be kept."""
    return await _decide(database, finding, "noted", note, by)


async def _decide(database: Database, finding: Finding, action: str, note: str | None, by: str) -> bool:
    made = await _queries.decide_finding(
        database, **_subject(finding), action=action, note=note, decided_by=by, decisions_max=_DECISIONS_MAX
    )
    return made is not None


async def note_refund(
    connection: DatabaseConnection, finding: Finding, refund_signature: str, *, note: str | None, by: str
) -> bool:
    """Note the transaction that gave the transfer of a finding back, in a transaction of its own.

    Returns:
        False where the ledger has no final transfer in it that does: later, of the same token, from the wallet that was
        paid to the payer, and for nothing else.
    """
    async with connection.transaction():
        await _lock_refund(connection, finding, refund_signature)
        made = await _queries.refund_finding(
            connection,
            **_subject(finding),
            refund_signature=refund_signature,
            note=note,
            decided_by=by,
            decisions_max=_DECISIONS_MAX,
        )
    return made is not None


async def withdraw_refund(
    connection: DatabaseConnection, finding: Finding, refund_signature: str, *, by: str
) -> Literal["withdrawn", "unknown", "final"]:
    """Withdraw a refund of a finding's transfer that was noted by mistake, in a transaction of its own.

    Returns:
        `withdrawn`; `unknown` where no such refund is noted; `final` where a payment over x402 has failed by it.
    """
    async with connection.transaction():
        await _lock_refund(connection, finding, refund_signature)
        row = await _queries.withdraw_refund(
            connection,
            signature=finding.signature,
            path=finding.path,
            refund_signature=refund_signature,
            failed_by=GIVEN_BACK,
            by=by,
        )
    if not row["noted"]:
        return "unknown"
    return "final" if row["is_final"] else "withdrawn"


async def _lock_refund(connection: DatabaseConnection, finding: Finding, refund_signature: str) -> None:
    """Lock what noting or withdrawing a refund is decided by. The next statement sees what others did before."""
    await _queries.lock_settlements_of_refund(
        connection, signature=finding.signature, refund_signature=refund_signature
    )
    await _queries.lock_refund(
        connection, signature=finding.signature, path=finding.path, refund_signature=refund_signature
    )


async def transfers_back(database: DatabasePool, finding: Finding) -> list[TransferBack]:
    """Transfers that may have given the transfer of a finding back, and are not noted yet."""
    async with planned_for_its_values(database) as connection:
        rows = _queries.transfers_back(
            connection, signature=finding.signature, path=finding.path, limit=_TRANSFERS_BACK_MAX
        )
        return [from_row(TransferBack, row) async for row in rows]


async def payouts_back(database: Database, finding: Finding) -> list[PayoutBack]:
    """What the worker returns by itself of the payment that a finding is about."""
    return [from_row(PayoutBack, row) async for row in _queries.payouts_back(database, claim_id=finding.claim_id)]


def _subject(finding: Finding) -> dict[str, Any]:
    return {
        "finding_id": finding.id,
        "kind": finding.kind,
        "user_id": finding.user_id,
        "signature": finding.signature,
        "path": finding.path,
    }


def _finding(row: Mapping[str, Any]) -> Finding:
    line = row["line"]
    return Finding(
        id=row["id"],
        kind=line["kind"],
        user_id=line["userId"],
        signature=line["signature"],
        path=line["path"],
        mint=line["mint"],
        amount=int(line["amountBaseUnits"]),
        expected=None if line["expectedBaseUnits"] is None else int(line["expectedBaseUnits"]),
        payer=line["payer"],
        recipient=line["recipient"],
        nonce=line["nonce"],
        claim_id=None if line["claimId"] is None else UUID(line["claimId"]),
        code=line["code"],
        at=line["at"],
        refundable=int(row["refundable"]),
        refunded=int(row["refunded"]),
        state=row["state"],
    )
