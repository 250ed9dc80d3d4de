"""Prove the ledger complete, account by account, and have healed what fails.

Two checks. By SQL alone: every balance change starts where the one before ended. Against the chain: the last
balance of the ledger is the account's balance at a finalized slot, read for 100 accounts a call. An account that
passes both is complete up to that slot, which becomes its anchor; the next audit starts there.

The slot of an answer is held against what enough endpoints have reached: see `chain.reached`. An anchor beyond that was
never true, whoever has stored it; such an account is proven anew, from its beginning.
"""

import datetime as dt
import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import asyncpg
import structlog

from chain.accounts import AccountState
from chain.node import ACCOUNTS_PER_CALL, Node
from chain.reached import ReachedSlots
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
    """What an audit saw.

    Attributes:
        accounts: How many accounts there are, those included that wait to be healed.
        slot: The oldest finalized slot that an answer was about; 0 without accounts.
        rpc_calls: How many questions it took.
        findings: The accounts that disagree.
        unproven: How many were neither found to disagree nor proven: too few nodes have reached the slot of the answer,
            that is older than what is proven already or than where the wallet's books begin, or they wait to be healed.
        decided: How many were proven, found lost or found to disagree at a slot that enough nodes have reached.
    """

    accounts: int
    slot: int
    rpc_calls: int
    findings: tuple[Disagreement, ...]
    unproven: int = 0
    decided: int = 0

    @property
    def proves_nothing(self) -> bool:
        """True when nothing could be decided of any account, though nodes were asked."""
        return self.rpc_calls > 0 and not self.decided


@dataclass(frozen=True, slots=True)
class _Answer:
    """What an endpoint shows of accounts at a finalized slot.

    `is_reached` where enough endpoints have reached that; `None` where too few say how far they are.
    """

    slot: int
    states: Sequence[AccountState | None]
    is_reached: bool | None
    calls: int


@dataclass(frozen=True, slots=True)
class _Audited:
    """What an audit of some accounts saw; see `AuditReport`."""

    slot: int
    findings: Sequence[Disagreement]
    calls: int
    unproven: int
    decided: int
    due: int
    """How many could have been decided: a wallet that is followed from a later slot has no books yet."""


class Auditor:
    """Audits accounts in batches; those that `heal_queue` holds are left out, for their books are open."""

    def __init__(
        self,
        node: Node,
        database: asyncpg.Pool,
        watchlist: Watchlist,
        heal_queue: HealQueue,
        metrics: IndexerMetrics,
        reached: ReachedSlots,
        *,
        block_seconds_min: float,
    ) -> None:
        self._node = node
        self._database = database
        self._watchlist = watchlist
        self._heal_queue = heal_queue
        self._metrics = metrics
        self._turns = itertools.cycle(node.pool.endpoints)
        self._reached = reached
        self._block_seconds_min = block_seconds_min
        self._is_answered = True

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
            at_once=False,
            chain_event="not_audited",
        )

    async def _audit_and_sweep(self, sweep_seconds: float) -> None:
        try:
            report = await self.audit()
            await self._sweep(sweep_seconds)
            if not report.proves_nothing:
                self._metrics.liveness.succeeded(LOOP)
        except Exception:
            self._metrics.audits.labels("failed").inc()
            raise

    async def audit(self, wallets: Sequence[str] = (), *, whole: bool = False) -> AuditReport:
        """Audit every account, or those of `wallets`; `whole` goes back before the last good audit.

        Raises:
            RpcError: The nodes did not answer.
        """
        impossible_slot = await self._first_impossible()
        known = await completeness.accounts_to_audit(self._database, wallets)
        accounts = [account for account in known if not self._heal_queue.is_open(account.address)]
        batches = [accounts[start : start + ACCOUNTS_PER_CALL] for start in range(0, len(accounts), ACCOUNTS_PER_CALL)]
        done = [await self._audit_batch(batch, whole, impossible_slot) for batch in batches]
        is_complete = all(one.decided >= one.due for one in done)
        self._metrics.audits.labels("complete" if is_complete else "unproven").inc()
        await self._show_doubts()
        return AuditReport(
            len(known),
            min((one.slot for one in done), default=0),
            sum(one.calls for one in done),
            tuple(itertools.chain.from_iterable(one.findings for one in done)),
            sum(one.unproven for one in done) + len(known) - len(accounts),
            sum(one.decided for one in done),
        )

    async def _first_impossible(self) -> int | None:
        """The first slot that no audit can have been about; what is noted of accounts beyond it is corrected.

        `None`, said once, where too few nodes answer: then nothing is proven either.
        """
        reached = await self._reached.newest()
        if (reached is not None) is not self._is_answered:
            self._is_answered = reached is not None
            if reached is None:
                _log.warning("too_few_nodes_to_prove", hint="mend the node that is away, or set RPC_WITNESSES=1")
            else:
                _log.info("enough_nodes_to_prove")
        if reached is None:
            return None
        impossible_slot = self._reached.first_impossible
        slots = {"reached_slot": reached, "impossible_slot": impossible_slot}
        wallets = await completeness.correct_followed_slots(
            self._database, **slots, slot_seconds=self._block_seconds_min
        )
        for address in [*wallets, *await completeness.correct_slots(self._database, **slots)]:
            self._note_corrected(address)
            self._heal_queue.want(address)
        return impossible_slot

    def _note_corrected(self, address: str) -> None:
        self._metrics.slots_corrected.inc()
        _log.error("impossible_slot_corrected", address=address, hint="a node had said one that nothing has reached")

    async def _audit_batch(
        self, accounts: Sequence[AuditedAccount], whole: bool, impossible_slot: int | None
    ) -> _Audited:
        addresses = [account.address for account in accounts]
        answer = await self._balances(addresses)
        slot, states = answer.slot, answer.states
        if answer.is_reached is False:
            return _Audited(slot, (), answer.calls, len(accounts), decided=0, due=len(accounts))
        never_true = {
            one.address
            for one in accounts
            if impossible_slot is not None and one.audited_slot is not None and one.audited_slot >= impossible_slot
        }
        # An anchor that was never true is none.
        accounts = [replace(one, audited_slot=None) if one.address in never_true else one for one in accounts]
        lost = {
            account.address
            for account, state in zip(accounts, states, strict=True)
            if state is not None and state.is_token_account and state.token_owner != account.wallet
        }
        if lost and answer.is_reached:
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
        if never_true and not whole:
            proven |= await completeness.completeness_of(self._database, sorted(never_true), slot, whole=True)
        disagreements = [
            disagreement
            for account in due
            if (disagreement := _disagreement(account, proven[account.address], on_chain[account.address], slot))
        ]
        bad = {disagreement.account for disagreement in disagreements}
        good = [account for account in due if account.address not in bad]
        if answer.is_reached:
            await self._agree(good, slot, on_chain, proven, never_true, impossible_slot)
        if disagreements:
            failed_before = {one.address for one in accounts if one.failed}
            await self._doubt(disagreements, slot, failed_before=failed_before, impossible_slot=impossible_slot)
        decided = len(good) + len(bad) + len(lost) if answer.is_reached else 0
        return _Audited(
            slot,
            disagreements,
            answer.calls,
            unproven=len(accounts) - (decided or len(bad)),
            decided=decided,
            due=sum(slot >= one.followed_from_slot or one.address in lost for one in accounts),
        )

    async def _agree(
        self,
        good: Sequence[AuditedAccount],
        slot: int,
        on_chain: Mapping[str, int],
        proven: Mapping[str, Completeness],
        never_true: Collection[str],
        impossible_slot: int | None,
    ) -> None:
        balances = {one.address: on_chain[one.address] for one in good}
        await completeness.record_agreement(self._database, slot, balances, impossible_slot=impossible_slot)
        for account in good:
            if account.address in never_true:
                self._note_corrected(account.address)
            if account.audited_slot is None and proven[account.address].ends is None:
                # There was nothing to hold the opening balance against. Another walk finds what it may have
                # swallowed; from now on every loss shows as drift.
                self._heal_queue.want(account.address)

    async def _balances(self, addresses: list[str]) -> _Answer:
        """The accounts at a finalized slot, of one endpoint after the other: none is audited by its own word alone.

        Where its slot is beyond what enough endpoints have reached, the next is asked at once.
        """
        endpoints = self._node.pool.endpoints
        for calls in range(1, len(endpoints) + 1):
            endpoint = next(self._turns)
            try:
                slot, states = await self._node.accounts(addresses, commitment="finalized", at=endpoint)
            except RpcError:
                if calls == len(endpoints) == 1:
                    raise
                slot, states = await self._node.accounts(addresses, commitment="finalized")
            is_reached = await self._reached.is_reached(slot)
            if is_reached is not False:
                break
            self._metrics.slots_refused.labels(endpoint.name).inc()
            hint = "too few others have come so far: this one is ahead, or they are behind"
            _log.warning("audit_slot_refused", endpoint=endpoint.name, slot=slot, hint=hint)
        return _Answer(slot, states, is_reached, calls)

    async def _doubt(
        self,
        disagreements: Sequence[Disagreement],
        slot: int,
        *,
        failed_before: Collection[str],
        impossible_slot: int | None,
    ) -> None:
        await completeness.record_disagreement(self._database, slot, disagreements, impossible_slot=impossible_slot)
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
