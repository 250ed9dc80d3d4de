"""Replay a transaction's steps over the balances before it, and check them against those after it.

Most steps say how much they move. A few do not: wrapping lamports, a fee that Token-2022 withholds, fees
paid out. Their size follows from what the account held before and after. Where that does not settle it, the
account is reported as unexplained; nothing is guessed and nothing is dropped.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from pay402.chain.decode.steps import (
    Close,
    Issue,
    Lamports,
    Move,
    Opaque,
    Open,
    SetOwner,
    Step,
    Sync,
    Unwrap,
    WithdrawWithheld,
)
from pay402.chain.programs import NATIVE_SOL, WRAPPED_SOL_MINT
from pay402.ledger.observation import BalanceChange, Kind, Movement, Unexplained

# What 165 bytes cost in rent. Used only for wrapped-SOL accounts that both open and close inside the
# transaction: of those the node reports nothing.
_TOKEN_ACCOUNT_RENT_LAMPORTS = 2_039_280

FeeRule = Callable[[int], int]
"""From an amount to the fee that a mint's configuration withholds from it, both in base units."""


@dataclass(slots=True)
class _Account:
    """A token account as it stands between two steps."""

    mint: str
    owner: str | None
    amount: int
    reserve_lamports: int = 0
    """Lamports of a wrapped-SOL account that are not part of its balance."""


@dataclass(slots=True)
class Replay:
    """The running state of one transaction.

    Attributes:
        changes: The node's own figures for every token account, by address.
        lamports: Lamports by account, as the steps leave them; starts as before the transaction.
        lamports_after: Lamports by account after the transaction, as the node reports them.
        is_reference: Says whether an account is one of the read-only extras that Solana Pay looks for.
    """

    changes: Mapping[str, BalanceChange]
    lamports: dict[str, int]
    lamports_after: Mapping[str, int]
    is_reference: Callable[[str], bool]
    fee_rules: Mapping[str, FeeRule]
    movements: list[Movement] = field(default_factory=list)
    _accounts: dict[str, _Account] = field(default_factory=dict)
    _wraps: dict[str, int] = field(default_factory=dict)
    _fees: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    _payouts: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    _opaque: set[str] = field(default_factory=set)

    def run(
        self, steps: Iterable[Step], owners_before: Mapping[str, str | None]
    ) -> tuple[list[Movement], list[Unexplained]]:
        """Replay `steps`, starting from the token accounts that existed, with their owners at that time.

        Returns the movements in order, and what they fail to explain.
        """
        for account, owner in owners_before.items():
            change = self.changes[account]
            reserve = self.lamports.get(account, 0) - change.pre
            self._accounts[account] = _Account(change.mint, owner, change.pre, reserve)
        for step in steps:
            self._apply(step)
        unexplained = [finding for finding in map(self._settle, self.changes.values()) if finding]
        unexplained += [
            Unexplained(m.source or m.destination or "", None, m.amount, "no account tells the mint")
            for m in self.movements
            if m.mint is None
        ]
        movements = [m for m in self.movements if m.amount or m.kind not in _SIZED_BY_BALANCE]
        return movements, unexplained

    def _apply(self, step: Step) -> None:
        match step:
            case Move():
                self._move(step)
            case Lamports():
                self._move_lamports(step.source, step.destination, step.amount)
                if step.is_payment:
                    self._pay_native(step)
            case Open():
                self._open(step)
            case Sync():
                self._sync(step)
            case Close():
                self._close(step)
            case Unwrap():
                self._unwrap(step)
            case Issue():
                self._issue(step)
            case SetOwner():
                if step.account in self._accounts:
                    self._accounts[step.account].owner = step.owner
            case WithdrawWithheld():
                self._payouts[step.account].append(len(self.movements))
                self._add(
                    step.call.path, Kind.WITHDRAW_WITHHELD, step.call.program, step.mint,
                    None, step.account, step.authority, 0,
                )  # fmt: skip
            case Opaque():
                self._opaque.update(step.accounts)

    def _move(self, step: Move) -> None:
        source, destination = self._accounts.get(step.source), self._accounts.get(step.destination)
        mint = step.mint or (source and source.mint) or (destination and destination.mint) or None
        fee = step.fee
        if fee is None:
            fee = 0
            # A mint's own configuration, where the caller knows it, beats deduction.
            if mint and mint in self.fee_rules and step.source != step.destination:
                fee = self.fee_rules[mint](step.amount)
            elif step.source != step.destination:
                self._fees[step.destination].append(len(self.movements))
        self._add(
            step.call.path, step.kind, step.call.program, mint, step.source, step.destination,
            step.authority, step.amount, fee=fee,
            references=tuple(filter(self.is_reference, step.extra_accounts)),
        )  # fmt: skip
        if mint == WRAPPED_SOL_MINT:
            self._move_lamports(step.source, step.destination, step.amount)

    def _pay_native(self, step: Lamports) -> None:
        self.movements.append(
            Movement(
                path=step.call.path,
                kind=Kind.NATIVE_TRANSFER,
                program=step.call.program,
                mint=NATIVE_SOL,
                source=step.source,
                destination=step.destination,
                source_owner=step.source,
                destination_owner=step.destination,
                authority=step.source,
                amount=step.amount,
                references=tuple(filter(self.is_reference, step.extra_accounts)),
            )
        )

    def _open(self, step: Open) -> None:
        account = _Account(step.mint, step.owner, 0)
        self._accounts[step.account] = account
        if step.mint == WRAPPED_SOL_MINT:
            lamports = self.lamports.get(step.account, 0)
            change = self.changes.get(step.account)
            reserve = (
                self.lamports_after[step.account] - change.post
                if change and change.mint == WRAPPED_SOL_MINT and self.lamports_after.get(step.account)
                else _TOKEN_ACCOUNT_RENT_LAMPORTS
            )
            account.reserve_lamports = min(lamports, reserve)
            self._wrap(step.account, account, step.call.path, step.call.program)

    def _sync(self, step: Sync) -> None:
        account = self._accounts.get(step.account)
        if account is not None:
            self._wrap(step.account, account, step.call.path, step.call.program)

    def _wrap(self, address: str, account: _Account, path: str, program: str) -> None:
        # Programs may put lamports on an account without any instruction that shows it; `_settle` adds
        # what is missing here, so that a wrap of nothing is kept until then.
        found = self.lamports.get(address, 0) - account.reserve_lamports - account.amount
        self._wraps[address] = len(self.movements)
        self._add(path, Kind.WRAP, program, account.mint, None, address, None, max(found, 0))

    def _close(self, step: Close) -> None:
        account = self._accounts.pop(step.account, None)
        if account is not None and account.mint == WRAPPED_SOL_MINT:
            if account.amount < 0:
                self._grow_wrap(step.account, -account.amount)
                account.amount = 0
            self._accounts[step.account] = account
            self._add(
                step.call.path, Kind.CLOSE, step.call.program, account.mint,
                step.account, None, step.authority, account.amount,
            )  # fmt: skip
            del self._accounts[step.account]
        self._move_lamports(step.account, step.destination, self.lamports.get(step.account, 0))

    def _unwrap(self, step: Unwrap) -> None:
        account = self._accounts.get(step.account)
        if account is None:
            return
        amount = account.amount if step.amount is None else step.amount
        self._move_lamports(step.account, step.destination, amount)
        self._add(
            step.call.path, Kind.UNWRAP, step.call.program, account.mint,
            step.account, None, step.authority, amount,
        )  # fmt: skip

    def _issue(self, step: Issue) -> None:
        kind = Kind.BURN if step.burns else Kind.MINT
        source, destination = (step.account, None) if step.burns else (None, step.account)
        self._add(
            step.call.path, kind, step.call.program, step.mint,
            source, destination, step.authority, step.amount,
        )  # fmt: skip

    def _add(
        self,
        path: str,
        kind: Kind,
        program: str,
        mint: str | None,
        source: str | None,
        destination: str | None,
        authority: str | None,
        amount: int,
        *,
        fee: int = 0,
        references: tuple[str, ...] = (),
    ) -> None:
        giver = self._accounts.get(source) if source else None
        taker = self._accounts.get(destination) if destination else None
        self.movements.append(
            Movement(
                path=path,
                kind=kind,
                program=program,
                mint=mint,
                source=source,
                destination=destination,
                source_owner=giver.owner if giver else None,
                destination_owner=taker.owner if taker else None,
                authority=authority,
                amount=amount,
                fee=fee,
                references=references,
            )
        )
        if giver:
            giver.amount -= amount
        if taker:
            taker.amount += amount - fee

    def _move_lamports(self, source: str, destination: str, amount: int) -> None:
        self.lamports[source] = self.lamports.get(source, 0) - amount
        self.lamports[destination] = self.lamports.get(destination, 0) + amount

    def _settle(self, change: BalanceChange) -> Unexplained | None:
        """Size what the instructions left open by the account's true balances, or report the difference."""
        missing = (change.post - change.pre) - self._moved(change.account)
        if missing == 0:
            return None
        if change.account in self._opaque:
            return Unexplained(change.account, change.mint, missing, "confidential amounts")
        fees, payouts = self._fees[change.account], self._payouts[change.account]
        if change.mint == WRAPPED_SOL_MINT and change.account in self._wraps:
            if self._grow_wrap(change.account, missing):
                return None
        elif missing < 0 and len(fees) == 1 and not payouts:
            index = fees[0]
            if -missing <= self.movements[index].amount:
                self.movements[index] = replace(self.movements[index], fee=-missing)
                return None
        elif missing > 0 and len(payouts) == 1:
            self.movements[payouts[0]] = replace(self.movements[payouts[0]], amount=missing)
            return None
        reason = "several transfers with an unknown fee" if len(fees) > 1 else "no instruction shows it"
        return Unexplained(change.account, change.mint, missing, reason)

    def _moved(self, account: str) -> int:
        """What the movements add up to for a token account, in base units."""
        total = 0
        for m in self.movements:
            if m.kind is Kind.NATIVE_TRANSFER:
                continue
            if m.source == account:
                total -= m.amount
            if m.destination == account:
                total += m.amount - m.fee
        return total

    def _grow_wrap(self, account: str, amount: int) -> bool:
        index = self._wraps.get(account)
        if index is None or self.movements[index].amount + amount < 0:
            return False
        self.movements[index] = replace(self.movements[index], amount=self.movements[index].amount + amount)
        return True


_SIZED_BY_BALANCE = frozenset({Kind.WRAP, Kind.CLOSE, Kind.UNWRAP, Kind.WITHDRAW_WITHHELD})
