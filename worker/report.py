"""The reconciliation report: what came in, what was claimed, and everything that does not match.

The stored report holds all totals and counts, and of each kind of finding the first thousand; the command streams
every one of them.
"""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

import structlog

from chain.rpc import RpcError
from ledger.sql import DatabaseConnection, load_queries
from runtime.database_errors import DATABASE_ERRORS
from worker.claims.decide import Reconciled, reconcile
from worker.context import WorkerContext

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

Finding = dict[str, Any]


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
        await _queries.note_progress(context.database, id=chosen, progress={"decided": decided.as_json()})
        report = await make_report(context)
        report["decided"], report["chainUnreachable"] = decided.as_json(), note
    except DATABASE_ERRORS as error:
        await _queries.finish_report(context.database, id=chosen, report=None, error=str(error))
        raise
    await _queries.finish_report(context.database, id=chosen, report=report, error=None)
    _log.info("reconciled", run=str(chosen), **report["counts"])
    return chosen


async def is_report_due(context: WorkerContext) -> bool:
    """True when the newest report, finished or not, is older than they are to be, or there is none."""
    age_seconds: float | None = await _queries.seconds_since_report(context.database)
    return age_seconds is None or age_seconds > context.settings.report_seconds


async def make_report(context: WorkerContext) -> dict[str, Any]:
    """The report of one moment: everything in it is read in one snapshot."""
    async with _snapshot(context) as connection:
        others: defaultdict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        async for row in _queries.other_credits(connection):
            others[row["user_id"], row["mint"]].append(_other_credit(row))
        received = [_totals(row, others) async for row in _queries.received_totals(connection)]
        claims = [_claims(row) async for row in _queries.claim_totals(connection)]
        counts: dict[str, int] = dict.fromkeys(KINDS, 0)
        kept: dict[str, list[Finding]] = {kind: [] for kind in KINDS}
        async with _queries.findings_cursor(connection) as rows:
            async for row in rows:
                counts[row["kind"]] += 1
                if counts[row["kind"]] <= _KEPT_PER_KIND:
                    kept[row["kind"]].append(finding_json(row))
        doubtful = [_doubt(row) async for row in _queries.accounts_in_doubt(connection)]
        audited = await _queries.audited(connection)
        at: dt.datetime = await _queries.report_moment(connection)
    return {
        "at": int(at.timestamp() * 1000),
        "byMint": _by_mint(received),
        "byUser": received,
        "claims": claims,
        "counts": counts,
        "findings": kept,
        "findingsKeptPerKind": _KEPT_PER_KIND,
        "audit": {
            "accounts": audited["accounts"],
            "audited": audited["audited"],
            "leastAuditedSlot": audited["least_audited_slot"],
            "drifting": audited["drifting"],
            "gaps": audited["gaps"],
            "inDoubt": doubtful,
        },
    }


async def stream_findings(context: WorkerContext) -> AsyncIterator[Finding]:
    """Every finding, however many, in one snapshot."""
    async with _snapshot(context) as connection, _queries.findings_cursor(connection) as rows:
        async for row in rows:
            yield finding_json(row)


@asynccontextmanager
async def _snapshot(context: WorkerContext) -> AsyncIterator[DatabaseConnection]:
    pool = context.database
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(f"SET LOCAL statement_timeout = '{_STATEMENT_SECONDS}s'")
        yield connection


def finding_json(row: Mapping[str, Any]) -> Finding:
    """A finding as JSON and CSV have it; amounts are base units as text."""
    return {
        "kind": row["kind"],
        "userId": row["user_id"],
        "signature": row["signature"],
        "path": row["path"],
        "mint": row["mint"],
        "amountBaseUnits": str(row["amount"]),
        "expectedBaseUnits": None if row["expected"] is None else str(row["expected"]),
        "payer": row["payer"],
        "recipient": row["recipient"],
        "nonce": row["nonce"],
        "claimId": None if row["claim_id"] is None else str(row["claim_id"]),
        "code": row["code"],
        "at": int(row["at"].timestamp() * 1000),
    }


def _totals(row: Mapping[str, Any], others: Mapping[tuple[str, str], list[dict[str, Any]]]) -> dict[str, Any]:
    return {
        "userId": row["user_id"],
        "mint": row["mint"],
        "symbol": row["symbol"],
        "decimals": row["decimals"],
        "transfers": row["transfers"],
        "matchedTransfers": row["matched_transfers"],
        "receivedBaseUnits": str(row["received"]),
        "matchedBaseUnits": str(row["matched"]),
        "unmatchedBaseUnits": str(row["unmatched"]),
        "creditedBaseUnits": str(row["credited"]),
        "otherCredits": others.get((row["user_id"], row["mint"]), []),
    }


def _other_credit(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"kind": row["kind"], "transfers": row["transfers"], "creditedBaseUnits": str(row["credited"])}


def _by_mint(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    grouped: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        grouped[line["mint"]].append(line)
    return [
        {
            "mint": mint,
            "symbol": same[0]["symbol"],
            "decimals": same[0]["decimals"],
            **{name: sum(line[name] for line in same) for name in ("transfers", "matchedTransfers")},
            **{
                name: str(sum(int(line[name]) for line in same))
                for name in ("receivedBaseUnits", "matchedBaseUnits", "unmatchedBaseUnits", "creditedBaseUnits")
            },
            "otherCredits": _sum_by_kind(credit for line in same for credit in line["otherCredits"]),
        }
        for mint, same in sorted(grouped.items())
    ]


def _sum_by_kind(lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    counts: Counter[str] = Counter()
    sums: Counter[str] = Counter()
    for credit in lines:
        counts[credit["kind"]] += credit["transfers"]
        sums[credit["kind"]] += int(credit["creditedBaseUnits"])
    return [{"kind": kind, "transfers": counts[kind], "creditedBaseUnits": str(sums[kind])} for kind in sorted(counts)]


def _claims(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "userId": row["user_id"],
        "mint": row["mint"],
        "status": row["status"],
        "claims": row["claims"],
        "claimedBaseUnits": str(row["claimed"]),
        "receivedBaseUnits": str(row["received"]),
    }


def _doubt(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "userId": row["user_id"],
        "account": row["address"],
        "recipient": row["recipient"],
        "mint": row["mint"],
        "driftBaseUnits": str(row["drift"]),
        "gaps": row["gaps"],
        "reason": row["heal_reason"],
        "auditedSlot": row["audited_slot"],
    }
