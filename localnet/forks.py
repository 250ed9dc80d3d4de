"""What becomes of the transactions of abandoned blocks."""

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from solders.transaction import VersionedTransaction

from localnet.bank import Rejected
from localnet.encoding import Executed

# A rate from 0 to 1, or the signatures themselves.
Choice = float | Collection[str] | None


@dataclass(slots=True)
class ForkReport:
    """What a fork did, by signature; `relanding` move to `relanded` or `dropped` when their slot comes.

    A transaction that lands again may have another outcome than before, since what it built on may be gone.
    """

    abandoned_slots: list[int]
    dropped: list[str] = field(default_factory=list)
    relanded: list[str] = field(default_factory=list)
    relanding: list[str] = field(default_factory=list)


def choose(
    transactions: Sequence[VersionedTransaction], drop: Choice, reland: Choice, seed: int
) -> tuple[list[VersionedTransaction], list[VersionedTransaction]]:
    """Split into (dropped, landing again), keeping the order.

    Signatures named in `drop` or `reland` go where they are named. The others: by the rate where one is
    given; to the other side where only one list is given; by an even coin where neither or both lists are.
    """
    coin = random.Random(seed)  # noqa: S311 - repeatable on purpose
    dropped: list[VersionedTransaction] = []
    landing: list[VersionedTransaction] = []
    for transaction in transactions:
        vanishes = _vanishes(str(transaction.signatures[0]), drop, reland, coin.random())
        (dropped if vanishes else landing).append(transaction)
    return dropped, landing


def _vanishes(signature: str, drop: Choice, reland: Choice, draw: float) -> bool:
    if isinstance(drop, Collection) and signature in drop:
        return True
    if isinstance(reland, Collection) and signature in reland:
        return False
    if isinstance(drop, int | float):
        return draw < drop
    if isinstance(reland, int | float):
        return draw >= reland
    if (drop is None) == (reland is None):
        return draw < 0.5  # noqa: PLR2004 - an even coin
    return drop is None


class Relands:
    """Transactions of dead forks that wait to land again."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, VersionedTransaction, ForkReport]] = []

    def add(self, report: ForkReport, transactions: Sequence[VersionedTransaction], after: int) -> None:
        """Let `transactions` land `after` slots from the next one that opens."""
        report.relanding = [str(transaction.signatures[0]) for transaction in transactions]
        self._waiting += [(after, transaction, report) for transaction in transactions]

    def land(self, send: Callable[[VersionedTransaction], Executed]) -> None:
        """A slot has opened: land what is due in it."""
        due = [(transaction, report) for after, transaction, report in self._waiting if after <= 0]
        self._waiting = [(after - 1, transaction, report) for after, transaction, report in self._waiting if after > 0]
        for transaction, report in due:
            signature = str(transaction.signatures[0])
            report.relanding.remove(signature)
            try:
                send(transaction)
            except Rejected:
                # Its blockhash or its payer's money was of the dead fork.
                report.dropped.append(signature)
            else:
                report.relanded.append(signature)
