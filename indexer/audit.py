"""Prove the ledger complete, account by account, and have healed what fails.

Two checks. By SQL alone: every balance change starts where the one before ended. Against the chain: the last
balance of the ledger is the account's balance at a finalized slot, read for 100 accounts a call. An account that
passes both is complete up to that slot, which becomes its anchor; the next audit starts there.
"""

import asyncio
import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import structlog

from chain.node import ACCOUNTS_PER_CALL, Node
from chain.rpc import RpcError
from indexer.metrics import IndexerMetrics
from runtime.database_errors import DATABASE_ERRORS

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Finding:
    """An account about which ledger and chain disagree.

    Attributes:
        drift: Balance on chain less the ledger's, in base units.
        gaps: Places where a balance change does not start where the one before ended.
    """

    account: str
    wallet: str
    mint: str
    slot: int
    drift: int
    gaps: int


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What an audit saw. `slot` is the oldest finalized slot that an answer was about; 0 without accounts."""

    accounts: int
    slot: int
    rpc_calls: int
    findings: tuple[Finding, ...]


class Auditor:
    """Audits accounts in batches.

    `skip` says which accounts are being healed right now: their books are open. `want` is told of accounts to
    heal, and whether what is recorded already has to be fetched again too.
    """

    def __init__(
        self,
        node: Node,
        pool: asyncpg.Pool,
        queries: Any,
        metrics: IndexerMetrics,
        *,
        skip: Callable[[str], bool] = lambda _: False,
        want: Callable[[str, bool], None] = lambda *_: None,
    ) -> None:
        self._node = node
        self._pool = pool
        self._queries = queries
        self._metrics = metrics
        self._skip = skip
        self._want = want

    async def run(self, every_seconds: float, sweep_seconds: float) -> None:
        """Audit after audit until cancelled.

        Balances cannot show two missed transactions that cancel each other, so that every account's history
        is also walked once in `sweep_seconds`.
        """
        while True:
            await asyncio.sleep(every_seconds)
            try:
                await self.audit()
                await self._sweep(sweep_seconds)
            except RpcError as error:
                self._metrics.audits.labels("failed").inc()
                _log.warning("not_audited", error=str(error))
            except DATABASE_ERRORS as error:
                self._metrics.audits.labels("failed").inc()
                await asyncio.sleep(self._metrics.troubles.note("auditing", error))

    async def audit(self, wallets: Sequence[str] = (), *, whole: bool = False) -> AuditReport:
        """Audit every account, or those of `wallets`; `whole` goes back before the last good audit.

        Raises:
            RpcError: The nodes did not answer.
        """
        rows = [
            row
            async for row in self._queries.accounts_to_audit(self._pool, wallets=list(wallets))
            if not self._skip(row["address"])
        ]
        findings: list[Finding] = []
        slots, calls = [], 0
        for start in range(0, len(rows), ACCOUNTS_PER_CALL):
            slot, found = await self._audit_batch(rows[start : start + ACCOUNTS_PER_CALL], whole)
            findings += found
            slots.append(slot)
            calls += 1
        self._metrics.audits.labels("complete").inc()
        await self._show_doubts()
        return AuditReport(len(rows), min(slots, default=0), calls, tuple(findings))

    async def _audit_batch(self, rows: Sequence[Any], whole: bool) -> tuple[int, list[Finding]]:
        accounts = [row["address"] for row in rows]
        slot, states = await self._node.accounts(accounts, commitment="finalized")
        # Before the slot from which a wallet is followed the ledger says nothing that could be held against it, and
        # a node that lags behind the last good audit says nothing new.
        early = {
            row["address"]
            for row in rows
            if slot < row["followed_from_slot"] or (not whole and slot < (row["audited_slot"] or 0))
        }
        on_chain = {
            row["address"]: (state.balance_of(is_wallet=row["address"] == row["recipient"]) if state else 0)
            for row, state in zip(rows, states, strict=True)
        }
        proofs = self._queries.proof(self._pool, accounts=accounts, slot=slot, whole=whole)
        proven = {row["account"]: row async for row in proofs}
        findings = []
        for row in rows:
            if row["address"] in early:
                continue
            proof, balance = proven[row["address"]], on_chain[row["address"]]
            # Without any change and any anchor, what is there now is the opening balance.
            drift = 0 if proof["ends"] is None else balance - proof["ends"]
            if drift or proof["gaps"]:
                findings.append(Finding(row["address"], row["recipient"], row["mint"], slot, drift, proof["gaps"]))
        bad = {finding.account for finding in findings}
        good = [account for account in accounts if account not in bad | early]
        await self._queries.agreed(
            self._pool, slot=slot, accounts=good, balances=[on_chain[account] for account in good]
        )
        for row in rows:
            if row["audited_slot"] is None and row["address"] in good and proven[row["address"]]["ends"] is None:
                # There was nothing to hold the opening balance against. Another walk finds what it may have
                # swallowed; from now on every loss shows as drift.
                self._want(row["address"], False)
        if findings:
            await self._doubt(findings, slot, {row["address"]: bool(row["drift"] or row["gaps"]) for row in rows})
        return slot, findings

    async def _doubt(self, findings: Sequence[Finding], slot: int, failed_before: dict[str, bool]) -> None:
        await self._queries.disagreed(
            self._pool,
            slot=slot,
            accounts=[finding.account for finding in findings],
            drifts=[finding.drift for finding in findings],
            gap_counts=[finding.gaps for finding in findings],
        )
        for finding in findings:
            self._metrics.audit_findings.inc()
            _log.warning("audit_disagreed", account=finding.account, drift=finding.drift, gaps=finding.gaps)
            # What healing did not mend the first time may stand recorded as another fork had it.
            self._want(finding.account, failed_before[finding.account])

    async def _sweep(self, sweep_seconds: float) -> None:
        not_since = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=sweep_seconds)
        async for row in self._queries.accounts_to_heal(self._pool, not_since=not_since):
            if not self._skip(row["address"]):
                self._want(row["address"], False)

    async def _show_doubts(self) -> None:
        row = await self._queries.in_doubt(self._pool)
        self._metrics.drifting.set(row["drifting"])
        self._metrics.gaps.set(row["gaps"])
