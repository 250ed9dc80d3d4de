"""Accounts as they were at an older slot: what a node answers at `confirmed` and `finalized`."""

from collections import deque
from collections.abc import Iterable

from solders.account import Account
from solders.pubkey import Pubkey

from localnet.blocks import Block


class Versions:
    """For each account written lately, the slots that wrote it and what it was before each of them."""

    def __init__(self) -> None:
        self._of: dict[Pubkey, deque[tuple[int, Account | None]]] = {}

    def record(self, block: Block, before: Iterable[tuple[Pubkey, Account | None]]) -> None:
        """Note what a transaction of the open `block` is about to have overwritten."""
        for address, account in before:
            if address not in block.before:
                block.before[address] = account
                self._of.setdefault(address, deque()).append((block.slot, account))

    def abandon(self, block: Block) -> None:
        """Forget the newest block's writes: its fork is dead."""
        for address in block.before:
            self._drop(address, newest=True)

    def prune(self, block: Block) -> None:
        """Forget the oldest remembered block's writes: no node is asked for a state older than its end."""
        for address in block.before:
            self._drop(address, newest=False)
        block.before = {}

    def older(self, address: Pubkey, slot: int) -> tuple[Account | None] | None:
        """What the account was at the end of `slot`, in a tuple; None where it is the same now."""
        for written, account in self._of.get(address, ()):
            if written > slot:
                return (account,)
        return None

    def addresses(self) -> Iterable[Pubkey]:
        """Every account written lately, closed ones included."""
        return self._of

    def _drop(self, address: Pubkey, *, newest: bool) -> None:
        entries = self._of[address]
        if newest:
            entries.pop()
        else:
            entries.popleft()
        if not entries:
            del self._of[address]
