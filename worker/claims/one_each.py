"""Gives as many askers as can be one good each. Pure: no clock, no database, no chain."""

from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

Asker = TypeVar("Asker", bound=Hashable)
Good = TypeVar("Good", bound=Hashable)


def one_each(choices: Mapping[Asker, Sequence[Good]]) -> dict[Asker, Good]:
    """What each asker gets of the goods that would do for it, the one it likes best first; no good is given twice.

    Askers are served in their order: each gets the first of its choices that nobody has. Where all are given away,
    others change over to what they like less, if that leaves one for it: so as many as possible get one.
    """
    given: dict[Asker, Good] = {}
    holders: dict[Good, Asker] = {}
    for asker in choices:
        # Whoever would take a good, if those before it in the chain change over.
        takers: dict[Good, Asker] = {}
        good = _free_one(asker, choices, holders, takers)
        while good is not None:
            taker = takers[good]
            left = given.get(taker)
            given[taker], holders[good] = good, taker
            good = left
    return given


def _free_one(
    asker: Asker, choices: Mapping[Asker, Sequence[Good]], holders: Mapping[Good, Asker], takers: dict[Good, Asker]
) -> Good | None:
    """A good that nobody has, at the end of the shortest chain of changes that serves `asker`; fills `takers`."""
    waiting = deque([asker])
    while waiting:
        one = waiting.popleft()
        for good in choices[one]:
            if good in takers:
                continue
            takers[good] = one
            if good not in holders:
                return good
            waiting.append(holders[good])
    return None
