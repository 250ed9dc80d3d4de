"""How what is kept for reports follows the ledger: noted changes are folded into it.

Triggers note what each statement changed, in the statement's own transaction. Sums are added; findings about
transfers are found anew, for the transactions that a change may concern. Whoever folds holds `report_state`, so that
one folds at a time, and its snapshot is taken after that: it sees each change together with the note of it, or neither.
"""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from ledger.sql import DatabaseConnection, load_queries
from runtime.database_connection import at_the_database

_queries = load_queries("worker.reports", "changes.sql")

_CHANGES_PER_STEP_MAX: Final = 5_000
_TRANSACTIONS_PER_STEP_MAX: Final = 20_000
_STATEMENT_SECONDS: Final = 300


@asynccontextmanager
async def held_report(pool: "asyncpg.Pool[Any]") -> AsyncIterator[DatabaseConnection]:
    """A connection in a transaction that holds what reports keep, and sees one moment of the ledger."""
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
        await connection.execute(f"SET LOCAL statement_timeout = '{_STATEMENT_SECONDS}s'")
        # Locking takes no snapshot: the first statement after it does.
        await connection.execute("LOCK TABLE report_state IN SHARE ROW EXCLUSIVE MODE")
        yield connection


async def fold_report_changes(pool: "asyncpg.Pool[Any]") -> int:
    """Fold what is noted by now into what reports keep, in steps; returns how many notes that were.

    Any number may do so at once. Where nothing was counted yet, it is left to the next report.
    """
    folded, is_behind = 0, True
    while is_behind:
        async with held_report(pool) as connection:
            if not await is_counted(connection):
                break
            changes, is_behind = await _fold_step(connection)
        folded += changes
    return folded


async def bring_up_to_date(connection: DatabaseConnection) -> None:
    """Make what is kept what the ledger says in this transaction's snapshot; `connection` is of `held_report`."""
    if not await is_counted(connection):
        await count_anew(connection)
    is_behind = True
    while is_behind:
        _, is_behind = await _fold_step(connection)


async def is_counted(connection: DatabaseConnection) -> bool:
    """False where what is kept has never been counted from the ledger."""
    return (await _queries.report_state_of_counts(connection))["counted_at"] is not None


async def count_anew(connection: DatabaseConnection) -> None:
    """Count all that is kept from the whole ledger, whatever it was."""
    await connection.execute("SET LOCAL enable_seqscan = on")
    await _queries.forget_claims(connection)
    await _queries.count_all_claims(connection)
    await _count_wallets(connection, None)
    await _queries.note_counted(connection, is_counted=True)


async def note_checked(connection: DatabaseConnection) -> None:
    """Note that what is kept was compared with the whole ledger."""
    await _queries.note_counted(connection, is_counted=False)


async def _fold_step(connection: DatabaseConnection) -> tuple[int, bool]:
    """Fold the oldest notes; returns how many, and whether there may be more."""
    # What changed is little and found by its keys, whatever the planner knows of tables that grow.
    await connection.execute("SET LOCAL enable_seqscan = off")
    wallets: list[str] = await _queries.take_recipient_changes(connection)
    if wallets:
        await _count_wallets(connection, wallets)
    bound = {"changes_max": _CHANGES_PER_STEP_MAX}
    credited = await _queries.fold_credit_changes(connection, transactions_max=_TRANSACTIONS_PER_STEP_MAX, **bound)
    claimed = await _queries.fold_claim_changes_of_reports(connection, **bound)
    requested = await _queries.take_request_changes(connection, **bound)
    nonces = {*claimed["nonces"], *requested["nonces"]}
    reference_keys = {*requested["reference_keys"]}
    if claimed["nonces"]:
        reference_keys.update(await _queries.references_of_requests(connection, nonces=claimed["nonces"]))
    touched = {*credited["signatures"], *claimed["signatures"]}
    if nonces or reference_keys:
        rows = _queries.transactions_naming(connection, nonces=list(nonces), reference_keys=list(reference_keys))
        touched.update([row["signature"] async for row in rows])
    await _find_again(connection, touched)
    counts = [folded["changes"] for folded in (credited, claimed, requested)]
    return len(wallets) + sum(counts), credited["is_bounded"] or max(counts) == _CHANGES_PER_STEP_MAX


async def _count_wallets(connection: DatabaseConnection, recipients: list[str] | None) -> None:
    """Count all that concerns the transfers to some wallets, or to all (`None`)."""
    await _queries.forget_credits(connection, recipients=recipients)
    await _queries.count_credits(connection, recipients=recipients)
    # A cursor's own fetches go past the connection, which would say what a time-out means.
    with at_the_database():
        async with _queries.transactions_to_examine_cursor(connection, recipients=recipients) as rows:
            cursor = await rows
            while some := await cursor.fetch(_TRANSACTIONS_PER_STEP_MAX):
                await _find_again(connection, {row["signature"] for row in some})


async def _find_again(connection: DatabaseConnection, signatures: Collection[str]) -> None:
    """Find anew what does not match about the transfers of these transactions."""
    every = sorted(signatures)
    for first in range(0, len(every), _TRANSACTIONS_PER_STEP_MAX):
        some = every[first : first + _TRANSACTIONS_PER_STEP_MAX]
        await _queries.forget_findings(connection, signatures=some)
        await _queries.find_findings(connection, signatures=some)
