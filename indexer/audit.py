"""Prove the ledger complete, account by account, and have healed what fails.

Two checks. By SQL alone: every balance change starts where the one before ended. Against the chain: the last
balance of the ledger is the account's balance at a finalized slot, read for 100 accounts a call. An account that
passes both is complete up to that slot, which becomes its anchor; the next audit starts there.
"""

import datetime as dt
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import asyncpg
import structlog

from chain.accounts import AccountState
from chain.node import ACCOUNTS_PER_CALL, Node
from chain.rpc import RpcError
from indexer.heal_queue import HealQueue
from indexer.metrics import IndexerMetrics
from indexer.watchlist import Watchlist
from ledger import completeness
from ledger.completeness import AuditedAccount, Completeness, Disagreement
from runtime.passes import repeat

_log = structlog.get_logger(__name__)

LOOP: Final = "audit"


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What an audit saw. `slot` is the oldest finalized slot that an answer was about; 0 without accounts."""

    accounts: int
    slot: int
    rpc_calls: int
    findings: tuple[Disagreement, ...]


class Auditor:
    """Audits accounts in batches; those that `heal_queue` holds are left out, for their books are open."""

    def __init__(
        self,
        node: Node,
        database: asyncpg.Pool,
        watchlist: Watchlist,
        heal_queue: HealQueue,
        metrics: IndexerMetrics,
    ) -> None:
        self._node = node
        self._database = database
        self._watchlist = watchlist
        self._heal_queue = heal_queue
        self._metrics = metrics
        self._turns = itertools.cycle(node.pool.endpoints)

    async def run(self, every_seconds: float, sweep_seconds: float) -> None:
        """Audit after audit until cancelled.

        Balances cannot show two missed transactions that cancel each other, so that every account's history
        is also walked once in `sweep_seconds`.
        """
        await repeat(
            partial(self._audit_and_sweep, sweep_seconds),
            "auditing",
            every_seconds=every_seconds,
            troubles=self._metrics.troubles,
            succeeded=partial(self._metrics.liveness.succeeded, LOOP),
            at_once=False,
            chain_event="not_audited",
        )

    async def _audit_and_sweep(self, sweep_seconds: float) -> None:
        try:
            await self.audit()
            await self._sweep(sweep_seconds)
        except Exception:
            self._metrics.audits.labels("failed").inc()
            raise

    async def audit(self, wallets: Sequence[str] = (), *, whole: bool = False) -> AuditReport:
        """Audit every account, or those of `wallets`; `whole` goes back before the last good audit.

        Raises:
            RpcError: The nodes did not answer.
        """
        accounts = [
            account
            for account in await completeness.accounts_to_audit(self._database, wallets)
            if not self._heal_queue.is_open(account.address)
        ]
        disagreements: list[Disagreement] = []
        slots, calls = [], 0
        for start in range(0, len(accounts), ACCOUNTS_PER_CALL):
            slot, found = await self._audit_batch(accounts[start : start + ACCOUNTS_PER_CALL], whole)
            disagreements += found
            slots.append(slot)
            calls += 1
        self._metrics.audits.labels("complete").inc()
        await self._show_doubts()
        return AuditReport(len(accounts), min(slots, default=0), calls, tuple(disagreements))

    async def _audit_batch(self, accounts: Sequence[AuditedAccount], whole: bool) -> tuple[int, list[Disagreement]]:
        addresses = [account.address for account in accounts]
        slot, states = await self._balances(addresses)
        lost = {
            account.address
            for account, state in zip(accounts, states, strict=True)
            if state is not None and state.is_token_account and state.token_owner != account.wallet
        }
        if lost:
            await completeness.record_loss(self._database, lost, slot)
            for address in lost:
                self._watchlist.remove_account(address)
            _log.warning("accounts_lost", accounts=sorted(lost), hint="they belong to somebody else now")
        on_chain = {
            account.address: state.balance_of(is_wallet=account.is_wallet) if state else 0
            for account, state in zip(accounts, states, strict=True)
        }
        # Before the slot from which a wallet is followed the ledger says nothing that could be held against it, and
        # a node that lags behind the last good audit says nothing new.
        due = [
            account
            for account in accounts
            if account.address not in lost
            and slot >= account.followed_from_slot
            and (whole or slot >= (account.audited_slot or 0))
        ]
        proven = await completeness.completeness_of(self._database, addresses, slot, whole=whole)
        disagreements = [
            disagreement
            for account in due
            if (disagreement := _disagreement(account, proven[account.address], on_chain[account.address], slot))
        ]
        bad = {disagreement.account for disagreement in disagreements}
        good = [account for account in due if account.address not in bad]
        await completeness.record_agreement(self._database, slot, {one.address: on_chain[one.address] for one in good})
        for account in good:
            if account.audited_slot is None and proven[account.address].ends is None:
                # There was nothing to hold the opening balance against. Another walk finds what it may have
                # swallowed; from now on every loss shows as drift.
                self._heal_queue.want(account.address)
        if disagreements:
            await self._doubt(disagreements, slot, failed_before={one.address for one in accounts if one.failed})
        return slot, disagreements

    async def _balances(self, addresses: list[str]) -> tuple[int, list[AccountState | None]]:
        """The accounts at a finalized slot, of one endpoint after the other: none is audited by its own word alone."""
        try:
            return await self._node.accounts(addresses, commitment="finalized", at=next(self._turns))
        except RpcError:
            if len(self._node.pool.endpoints) == 1:
                raise
            return await self._node.accounts(addresses, commitment="finalized")

    async def _doubt(self, disagreements: Sequence[Disagreement], slot: int, *, failed_before: set[str]) -> None:
        await completeness.record_disagreement(self._database, slot, disagreements)
        for one in disagreements:
            self._metrics.audit_findings.inc()
            _log.warning("audit_disagreed", account=one.account, drift=one.drift, gaps=one.gaps)
            # What healing did not mend the first time may stand recorded as another fork had it.
            self._heal_queue.want(one.account, thoroughly=one.account in failed_before)

    async def _sweep(self, sweep_seconds: float) -> None:
        not_since = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=sweep_seconds)
        for account in await completeness.accounts_to_heal(self._database, not_since):
            if not self._heal_queue.is_open(account):
                self._heal_queue.want(account)

    async def _show_doubts(self) -> None:
        doubts = await completeness.doubts(self._database)
        self._metrics.drifting.set(doubts.drifting)
        self._metrics.gaps.set(doubts.gaps)


def _disagreement(account: AuditedAccount, proven: Completeness, on_chain: int, slot: int) -> Disagreement | None:
    # Without any change and any anchor, what is there now is the opening balance.
    drift = 0 if proven.ends is None else on_chain - proven.ends
    if not drift and not proven.gaps:
        return None
    return Disagreement(account.address, account.wallet, account.mint, slot, drift, proven.gaps)
