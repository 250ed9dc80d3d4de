"""The reconciliation report: what came in, what was claimed, and everything that does not match.

The stored report holds all totals and counts, and of each kind of finding the first thousand; the command streams
every one of them.
"""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import structlog

from chain.rpc import RpcError
from ledger.sql import DatabaseConnection, load_queries
from ledger.times import epoch_ms
from runtime.database_connection import at_the_database
from runtime.database_errors import is_defect
from worker.claims.decide import Reconciled, reconcile
from worker.context import WorkerContext
from worker.stored_json import stored_json

_log = structlog.get_logger(__name__)
_queries = load_queries("worker", "report.sql")

KINDS: Final = (
    "unmatchedTransfer",
    "unpaidClaim",
    "latePayment",
    "shortPayment",
    "overPayment",
    "duplicatePayment",
)
_KEPT_PER_KIND: Final = 1_000
_DEAD_SECONDS: Final = 900.0
_STATEMENT_SECONDS: Final = 300


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not match: a transfer, a claim or a request; `at` is in milliseconds since 1970."""

    kind: str
    user_id: str
    signature: str | None
    path: str | None
    mint: str
    amount_base_units: int
    expected_base_units: int | None
    payer: str | None
    recipient: str | None
    nonce: str | None
    claim_id: UUID | None
    code: str | None
    at: int


@dataclass(frozen=True, slots=True)
class OtherCredit:
    """What was credited by transfers of a kind that pays for nothing."""

    kind: str
    transfers: int
    credited_base_units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MintTotals:
    """What came in of a token: received by payments, of it matched with claims, and credited in all."""

    mint: str
    symbol: str | None
    decimals: int
    transfers: int
    matched_transfers: int
    received_base_units: int
    matched_base_units: int
    unmatched_base_units: int
    credited_base_units: int
    other_credits: list[OtherCredit]


@dataclass(frozen=True, slots=True, kw_only=True)
class UserTotals(MintTotals):
    """What came in of a token for one merchant."""

    user_id: str


@dataclass(frozen=True, slots=True)
class ClaimTotals:
    """The claims of a merchant in a token that stand alike."""

    user_id: str
    mint: str
    status: str
    claims: int
    claimed_base_units: int
    received_base_units: int


@dataclass(frozen=True, slots=True)
class AccountInDoubt:
    """An account about which ledger and chain disagree."""

    user_id: str
    account: str
    recipient: str
    mint: str
    drift_base_units: int
    gaps: int
    reason: str | None
    audited_slot: int | None


@dataclass(frozen=True, slots=True)
class Audit:
    """How far the ledger has been held against the chain."""

    accounts: int
    audited: int
    least_audited_slot: int | None
    drifting: int
    gaps: int
    in_doubt: list[AccountInDoubt]


@dataclass(frozen=True, slots=True)
class Report:
    """The report of one moment, `at` in milliseconds since 1970; lists of findings and their counts are by kind."""

    at: int
    by_mint: list[MintTotals]
    by_user: list[UserTotals]
    claims: list[ClaimTotals]
    counts: dict[str, int]
    findings: dict[str, list[Finding]]
    findings_kept_per_kind: int
    audit: Audit


async def run_report(context: WorkerContext, run: UUID | None = None) -> UUID | None:
    """Take up a reconciliation that was asked for, the one given or the oldest: decide, then report.

    Returns:
        Its id; `None` when there is none to take up.
    """
    chosen: UUID | None = await _queries.take_report(context.database, id=run, dead_seconds=_DEAD_SECONDS)
    if chosen is None:
        return None
    try:
        note = None
        try:
            decided = await reconcile(context)
        except RpcError as error:
            # What the ledger holds is decided and can be reported; what it lacks has to wait for the chain.
            decided, note = Reconciled(), str(error)
        decided_json = stored_json(decided)
        await _queries.note_progress(context.database, id=chosen, progress={"decided": decided_json})
        report = await make_report(context)
        stored = {**stored_json(report), "decided": decided_json, "chainUnreachable": note}
        await _queries.finish_report(context.database, id=chosen, report=stored, error=None)
    except Exception as error:
        # A defect would be taken up and fail again for ever; what an absent database ends is taken up again.
        if is_defect(error):
            reason = f"a defect of pay402 ({type(error).__name__})"
            await _queries.finish_report(context.database, id=chosen, report=None, error=reason)
        raise
    _log.info("reconciled", run=str(chosen), **report.counts)
    return chosen


async def is_report_due(context: WorkerContext) -> bool:
    """True when the newest report, finished or not, is older than they are to be, or there is none."""
    age_seconds: float | None = await _queries.seconds_since_report(context.database)
    return age_seconds is None or age_seconds > context.settings.report_seconds


async def make_report(context: WorkerContext) -> Report:
    """The report of one moment: everything in it is read in one snapshot."""
    async with _snapshot(context) as connection:
        others: defaultdict[tuple[str, str], list[OtherCredit]] = defaultdict(list)
        async for row in _queries.other_credits(connection):
            others[row["user_id"], row["mint"]].append(OtherCredit(row["kind"], row["transfers"], int(row["credited"])))
        by_user = [
            _totals(row, others[row["user_id"], row["mint"]]) async for row in _queries.received_totals(connection)
        ]
        claims = [_claims(row) async for row in _queries.claim_totals(connection)]
        counts: dict[str, int] = dict.fromkeys(KINDS, 0)
        kept: dict[str, list[Finding]] = {kind: [] for kind in KINDS}
        # A cursor's own fetches go past the connection, which would say what a time-out means.
        with at_the_database():
            async with _queries.findings_cursor(connection) as rows:
                async for row in rows:
                    counts[row["kind"]] += 1
                    if counts[row["kind"]] <= _KEPT_PER_KIND:
                        kept[row["kind"]].append(_finding(row))
        in_doubt = [_in_doubt(row) async for row in _queries.accounts_in_doubt(connection)]
        audited = await _queries.audited(connection)
        at: dt.datetime = await _queries.report_moment(connection)
    return Report(
        at=epoch_ms(at),
        by_mint=_by_mint(by_user),
        by_user=by_user,
        claims=claims,
        counts=counts,
        findings=kept,
        findings_kept_per_kind=_KEPT_PER_KIND,
        audit=Audit(
            accounts=audited["accounts"],
            audited=audited["audited"],
            least_audited_slot=audited["least_audited_slot"],
            drifting=audited["drifting"],
            gaps=audited["gaps"],
            in_doubt=in_doubt,
        ),
    )


async def stream_findings(context: WorkerContext) -> AsyncIterator[Finding]:
    """Every finding, however many, in one snapshot."""
    async with _snapshot(context) as connection:
        with at_the_database():
            async with _queries.findings_cursor(connection) as rows:
                async for row in rows:
                    yield _finding(row)


@asynccontextmanager
async def _snapshot(context: WorkerContext) -> AsyncIterator[DatabaseConnection]:
    pool = context.database
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(f"SET LOCAL statement_timeout = '{_STATEMENT_SECONDS}s'")
        yield connection


def _finding(row: Mapping[str, Any]) -> Finding:
    return Finding(
        kind=row["kind"],
        user_id=row["user_id"],
        signature=row["signature"],
        path=row["path"],
        mint=row["mint"],
        amount_base_units=int(row["amount"]),
        expected_base_units=None if row["expected"] is None else int(row["expected"]),
        payer=row["payer"],
        recipient=row["recipient"],
        nonce=row["nonce"],
        claim_id=row["claim_id"],
        code=row["code"],
        at=epoch_ms(row["at"]),
    )


def _totals(row: Mapping[str, Any], others: list[OtherCredit]) -> UserTotals:
    return UserTotals(
        user_id=row["user_id"],
        mint=row["mint"],
        symbol=row["symbol"],
        decimals=row["decimals"],
        transfers=row["transfers"],
        matched_transfers=row["matched_transfers"],
        received_base_units=int(row["received"]),
        matched_base_units=int(row["matched"]),
        unmatched_base_units=int(row["unmatched"]),
        credited_base_units=int(row["credited"]),
        other_credits=others,
    )


def _by_mint(lines: Sequence[UserTotals]) -> list[MintTotals]:
    grouped: defaultdict[str, list[UserTotals]] = defaultdict(list)
    for line in lines:
        grouped[line.mint].append(line)
    return [
        MintTotals(
            mint=mint,
            symbol=same[0].symbol,
            decimals=same[0].decimals,
            transfers=sum(line.transfers for line in same),
            matched_transfers=sum(line.matched_transfers for line in same),
            received_base_units=sum(line.received_base_units for line in same),
            matched_base_units=sum(line.matched_base_units for line in same),
            unmatched_base_units=sum(line.unmatched_base_units for line in same),
            credited_base_units=sum(line.credited_base_units for line in same),
            other_credits=_sum_by_kind(credit for line in same for credit in line.other_credits),
        )
        for mint, same in sorted(grouped.items())
    ]


def _sum_by_kind(credits_of_users: Iterable[OtherCredit]) -> list[OtherCredit]:
    counts: Counter[str] = Counter()
    sums: Counter[str] = Counter()
    for credit in credits_of_users:
        counts[credit.kind] += credit.transfers
        sums[credit.kind] += credit.credited_base_units
    return [OtherCredit(kind, counts[kind], sums[kind]) for kind in sorted(counts)]


def _claims(row: Mapping[str, Any]) -> ClaimTotals:
    return ClaimTotals(
        row["user_id"], row["mint"], row["status"], row["claims"], int(row["claimed"]), int(row["received"])
    )


def _in_doubt(row: Mapping[str, Any]) -> AccountInDoubt:
    return AccountInDoubt(
        user_id=row["user_id"],
        account=row["address"],
        recipient=row["recipient"],
        mint=row["mint"],
        drift_base_units=int(row["drift"]),
        gaps=row["gaps"],
        reason=row["heal_reason"],
        audited_slot=row["audited_slot"],
    )
