"""Replay a transaction's steps over the balances before it, and check them against those after it.

Most steps say how much they move. A few do not: wrapping lamports, a fee that Token-2022 withholds, fees
paid out. Their size follows from what the account held before and after. Where that does not settle it, the
account is reported as unexplained; nothing is guessed and nothing is dropped.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from chain.decode.steps import (
    Call,
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
from chain.decode.wire import TokenBalance
from chain.programs import WRAPPED_SOL_2022_MINT
from ledger.observation import BalanceChange, Kind, Movement, Unexplained
from ledger.tokens import NATIVE_SOL, WRAPPED_SOL_MINT

# What the rent of a wrapped-SOL account is at most: 165 bytes, in Token-2022 170 for an associated account.
# Where it has been lowered since, accounts that stay show it by their lamports less their balance; one that
# closes inside the transaction cannot keep more rent than it has lamports when it opens.
_RENT_LAMPORTS = {WRAPPED_SOL_MINT: 2_039_280, WRAPPED_SOL_2022_MINT: 2_074_080}

FeeRule = Callable[[int], int]
"""From an amount to the fee that a mint's configuration withholds from it, both in base units."""


class _Account(Struct):
    """A token account from its opening to its closing, as it stands between two steps.

    Attributes:
        amount: Its balance; less than nothing where wrapped lamports or fees paid out were not seen coming.
        reserve_lamports: Lamports of a wrapped-SOL account that are not part of its balance.
        wrap: The last movement that wrapped lamports found on it.
        fees: The movements into it that may have withheld a fee which they do not state.
        payouts: The movements into it that paid out withheld fees, whose size they do not state.
        opaque: Why its balance cannot be followed any longer.
    """

    address: str
    mint: str
    owner: str | None
    amount: int
    reserve_lamports: int = 0
    wrap: int | None = None
    fees: list[int] = []
    payouts: list[int] = []
    opaque: str | None = None

    @property
    def is_native(self) -> bool:
        """True for wrapped SOL, whose balance is made of lamports."""
        return self.mint in _RENT_LAMPORTS


class Replay(Struct):
    """The running state of one transaction.

    Attributes:
        changes: The node's own figures for every token account, by address.
        lamports: Lamports by account, as the steps leave them; starts as before the transaction.
        lamports_reported: Lamports by account before and after the transaction, as the node reports them.
        references: The read-only accounts that sign nothing: where an instruction that moves something names one of
            them as an extra, it is what Solana Pay looks for.
        fee_rules: By mint, the fee its configuration withholds; used where balances alone do not show it.
    """

    changes: Mapping[str, BalanceChange]
    lamports: dict[str, int]
    lamports_reported: Mapping[str, tuple[int, int]]
    references: Sequence[str]
    fee_rules: Mapping[str, FeeRule]
    movements: list[Movement] = []
    unexplained: list[Unexplained] = []
    _accounts: dict[str, _Account] = {}

    def run(
        self, steps: Sequence[Step], before: Mapping[str, TokenBalance]
    ) -> tuple[list[Movement], list[Unexplained]]:
        """Replay `steps`, starting from the token accounts that existed `before`.

        Returns the movements in order, and what they fail to explain.
        """
        opened = {step.account for step in steps if isinstance(step, Open)}
        for address, balance in before.items():
            change = self.changes[address]
            amount = change.pre if change.existed else balance.ui_token_amount.base_units
            self._begin(address, balance.mint, balance.owner, amount)
        for address, change in self.changes.items():
            # Only a node that leaves out balances from before shows an account that nobody opens.
            if address not in before and address not in opened:
                self._begin(address, change.mint, change.owner, change.pre)
        for step in steps:
            self._apply(step)
        self._compare_with_node()
        self.unexplained += [
            Unexplained(m.source or m.destination, None, m.amount, "no account tells the mint")
            for m in self.movements
            if m.mint is None
        ]
        movements = [m for m in self.movements if m.amount or m.kind not in _SIZED_BY_BALANCE]
        return movements, self.unexplained

    def _begin(self, address: str, mint: str, owner: str | None, amount: int) -> None:
        account = _Account(address, mint, owner, amount)
        if account.is_native:
            account.reserve_lamports = min(self.lamports.get(address, 0) - amount, self._rent(account))
        self._accounts[address] = account

    def _rent(self, account: _Account) -> int:
        """Lamports that a wrapped-SOL account has to keep, or a few more."""
        rent, change = _RENT_LAMPORTS[account.mint], self.changes.get(account.address)
        if change is not None and change.exists and change.mint == account.mint:
            rent = min(rent, self.lamports_reported[account.address][1] - change.post)
        return rent

    def _compare_with_node(self) -> None:
        """Hold the accounts as the steps leave them against the balances that the node reports."""
        for address, change in self.changes.items():
            account = self._accounts.get(address)
            if account is None or account.mint != change.mint:
                account = _Account(address, change.mint, change.owner, 0)
            self._settle(account, change.post - account.amount)
        for address, account in self._accounts.items():
            if address not in self.changes:
                self._settle(account, -account.amount)

    def _apply(self, step: Step) -> None:
        match step:
            case Move():
                self._move(step)
            case Lamports():
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
            case WithdrawWithheld():
                self._withdraw_withheld(step)
            case SetOwner():
                for account in self._known(step.account):
                    account.owner = step.owner
            case Opaque():
                for account in self._known(*step.accounts):
                    account.opaque = step.reason

    def _known(self, *addresses: str) -> Iterator[_Account]:
        return filter(None, map(self._accounts.get, addresses))

    def _move(self, step: Move) -> None:
        source, destination = self._accounts.get(step.source), self._accounts.get(step.destination)
        mint = step.mint or (source and source.mint) or (destination and destination.mint) or None
        may_cost = step.fee is None and step.amount > 0 and destination is not source
        if may_cost and destination and not destination.is_native:
            destination.fees.append(len(self.movements))
        self._add(
            step.call, step.kind, mint, step.source, step.destination, step.authority, step.amount,
            fee=step.fee or 0, references=self._references(step.extra_accounts),
        )  # fmt: skip
        if mint in _RENT_LAMPORTS:
            self._move_lamports(step.source, step.destination, step.amount)

    def _pay_native(self, step: Lamports) -> None:
        self._move_lamports(step.source, step.destination, step.amount)
        if not step.is_payment:
            return
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
                authority=step.authority,
                amount=step.amount,
                references=self._references(step.extra_accounts),
            )
        )

    def _references(self, extra_accounts: Sequence[str]) -> tuple[str, ...]:
        if not extra_accounts:
            return ()
        references = frozenset(self.references)
        return tuple([account for account in extra_accounts if account in references])

    def _open(self, step: Open) -> None:
        account = self._accounts[step.account] = _Account(step.account, step.mint, step.owner, 0)
        if account.is_native:
            account.reserve_lamports = min(self.lamports.get(step.account, 0), self._rent(account))
            self._wrap(account, step.call)

    def _sync(self, step: Sync) -> None:
        account = self._accounts.get(step.account)
        if account is not None and account.is_native:
            self._wrap(account, step.call)

    def _wrap(self, account: _Account, call: Call) -> None:
        # Programs may put lamports on an account without any instruction that shows it. They come to light
        # when the account spends them, or at the end: a wrap of nothing is kept until then.
        found = self.lamports.get(account.address, 0) - account.reserve_lamports - account.amount
        account.wrap = len(self.movements)
        self._add(call, Kind.WRAP, account.mint, None, account.address, None, max(found, 0))

    def _close(self, step: Close) -> None:
        account = self._accounts.get(step.account)
        if account is not None and account.is_native:
            if account.amount < 0:
                self._settle(account, -account.amount)
            self._add(
                step.call, Kind.CLOSE, account.mint, step.account, None, step.authority,
                max(account.amount, 0),
            )  # fmt: skip
        elif account is not None:
            # The program closes no other account that holds tokens.
            self._settle(account, -account.amount)
        self._accounts.pop(step.account, None)
        self._move_lamports(step.account, step.destination, self.lamports.get(step.account, 0))

    def _unwrap(self, step: Unwrap) -> None:
        account = self._accounts.get(step.account)
        if account is None:
            return
        amount = max(account.amount, 0) if step.amount is None else step.amount
        self._move_lamports(step.account, step.destination, amount)
        self._add(step.call, Kind.UNWRAP, account.mint, step.account, None, step.authority, amount)

    def _issue(self, step: Issue) -> None:
        kind = Kind.BURN if step.burns else Kind.MINT
        source, destination = (step.account, None) if step.burns else (None, step.account)
        self._add(step.call, kind, step.mint, source, destination, step.authority, step.amount)

    def _withdraw_withheld(self, step: WithdrawWithheld) -> None:
        for account in self._known(step.account):
            account.payouts.append(len(self.movements))
        self._add(step.call, Kind.WITHDRAW_WITHHELD, step.mint, None, step.account, step.authority, 0)

    def _add(
        self,
        call: Call,
        kind: Kind,
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
                path=call.path,
                kind=kind,
                program=call.program,
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
            if giver.amount < 0 and giver.opaque is None:
                self._wrap_more(giver, -giver.amount)
        if taker:
            taker.amount += amount - fee

    def _move_lamports(self, source: str, destination: str, amount: int) -> None:
        self.lamports[source] = self.lamports.get(source, 0) - amount
        self.lamports[destination] = self.lamports.get(destination, 0) + amount

    def _settle(self, account: _Account, missing: int) -> None:
        """Size what the steps left open by the account's true balance, or report the difference."""
        if missing == 0 and not (account.fees and account.payouts):
            return
        if account.opaque is None and (
            self._wrap_more(account, missing) if account.is_native else self._size(account, missing)
        ):
            return
        reason = account.opaque or "no instruction shows it"
        if account.fees and account.payouts:
            reason = "fees withheld and fees paid out, both unknown"
        elif len(account.fees) > 1:
            reason = "several transfers with an unknown fee"
        self.unexplained.append(Unexplained(account.address, account.mint, missing, reason))

    def _wrap_more(self, account: _Account, lamports: int) -> bool:
        """Add lamports to the account's last wrap; false where there is none, or nothing to add."""
        if account.wrap is None or lamports < 0:
            return False
        movement = self.movements[account.wrap]
        self.movements[account.wrap] = replace(movement, amount=movement.amount + lamports)
        self.lamports[account.address] = self.lamports.get(account.address, 0) + lamports
        account.amount += lamports
        return True

    def _size(self, account: _Account, missing: int) -> bool:
        """Find the fees withheld and the fees paid out that together make `missing`; false if they do not."""
        amounts = [self.movements[index].amount for index in account.fees]
        if len(amounts) == 1 and not account.payouts:
            fees = [-missing]  # the balance knows best: configurations change
        elif account.mint in self.fee_rules:
            fees = list(map(self.fee_rules[account.mint], amounts))
        elif amounts:
            return False
        else:
            fees = []
        paid_out = missing + sum(fees)
        if paid_out < 0 or (paid_out > 0 and len(account.payouts) != 1):
            return False
        if not all(0 <= fee <= amount for fee, amount in zip(fees, amounts, strict=True)):
            return False
        for index, fee in zip(account.fees, fees, strict=True):
            self.movements[index] = replace(self.movements[index], fee=fee)
        if paid_out:
            (index,) = account.payouts
            self.movements[index] = replace(self.movements[index], amount=paid_out)
        return True


_SIZED_BY_BALANCE = frozenset({Kind.WRAP, Kind.CLOSE, Kind.UNWRAP, Kind.WITHDRAW_WITHHELD})
