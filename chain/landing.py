"""What became of a transaction, by what every endpoint says of it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from chain.agreement import WITNESSES, agreeing_min
from chain.node import EndpointStatuses, SignatureStatus

_ERROR_CHARACTERS_MAX = 300
# A node that confirms a slot later than another is this far behind at most.
_SLOTS_TO_KNOW = 32


class LandingState(StrEnum):
    """Where a transaction stands."""

    SUCCEEDED = "succeeded"
    """An endpoint has seen it confirmed, without error."""
    FAILED = "failed"
    """Every endpoint that answered has seen it finalized with an error, and they are enough to believe."""
    DISPUTED = "disputed"
    """One says that it is finalized with an error, and another that answered does not have it."""
    UNDECIDED = "undecided"
    """An endpoint has seen it, but a fork may still decide otherwise."""
    UNKNOWN = "unknown"
    """No endpoint that answered has it in its history, and they are enough to believe."""
    NOT_ASKED = "not asked"
    """Too few endpoints answered."""


@dataclass(frozen=True, slots=True)
class Fate:
    """Where a transaction stands, and what is known of it.

    Attributes:
        landing: Where it stands.
        slot: Where it landed.
        error: The chain's own words for why it failed.
        seen_slot: The slot of the endpoint that is furthest behind of those that answered.
        is_final: Every endpoint that answered has it finalized without error, and they are enough to believe.
    """

    landing: LandingState
    slot: int | None = None
    error: str | None = None
    seen_slot: int = 0
    is_final: bool = False


def fates(answers: Sequence[EndpointStatuses], count: int, witnesses: int = WITNESSES) -> list[Fate]:
    """The fate of each of `count` transactions, of which each endpoint was asked in the same order.

    A failure is believed when it is final only: until then the transaction may land again on another fork, and succeed.
    Neither a failure nor that one is unknown is believed of fewer than `witnesses` endpoints, where there are as many.
    """
    answered = [(one.slot, one.statuses) for one in answers if one.statuses is not None and len(one.statuses) == count]
    seen_slot = min((slot for slot, _ in answered), default=0)
    is_enough = len(answered) >= agreeing_min(len(answers), witnesses) > 0
    return [_fate([statuses[n] for _, statuses in answered], seen_slot, is_enough=is_enough) for n in range(count)]


def saying_alone(answers: Sequence[EndpointStatuses], ends: Sequence[int | None]) -> frozenset[str]:
    """The endpoints that say of a transaction that it has landed, though another must know and does not.

    Args:
        answers: What each endpoint says of the transactions.
        ends: Of each of them, a slot at which it can land no more: whoever is beyond that knows it. `None` where it may
            still land: then one node may rightly know of it before another.
    """
    answered = [
        (one.endpoint, one.slot, one.statuses)
        for one in answers
        if one.statuses is not None and len(one.statuses) == len(ends)
    ]
    alone = set[str]()
    for n, end in enumerate(ends):
        newest = max((slot for _, slot, statuses in answered if statuses[n] is None), default=None)
        for endpoint, _, statuses in answered:
            status = statuses[n]
            if newest is None or status is None or not _has_landed(status):
                continue
            if (end is not None and newest > end) or newest >= status.slot + _SLOTS_TO_KNOW:
                alone.add(endpoint)
    return frozenset(alone)


def _has_landed(status: SignatureStatus) -> bool:
    return status.confirmation_status in {"confirmed", "finalized"}


def _fate(statuses: Sequence[SignatureStatus | None], seen_slot: int, *, is_enough: bool) -> Fate:
    known = [one for one in statuses if one is not None]
    good = [one for one in known if one.err is None and one.confirmation_status in {"confirmed", "finalized"}]
    if good:
        final = [one for one in good if one.confirmation_status == "finalized"]
        is_final = is_enough and len(final) == len(statuses)
        return Fate(LandingState.SUCCEEDED, good[0].slot, None, seen_slot, is_final)
    if not known:
        return Fate(LandingState.UNKNOWN if is_enough else LandingState.NOT_ASKED, seen_slot=seen_slot)
    failed = [one for one in known if one.err is not None and one.confirmation_status == "finalized"]
    if len(failed) < len(known):
        return Fate(LandingState.UNDECIDED, seen_slot=seen_slot)
    if not is_enough:
        return Fate(LandingState.NOT_ASKED, seen_slot=seen_slot)
    if len(failed) < len(statuses):
        return Fate(LandingState.DISPUTED, failed[0].slot, _words(failed[0].err), seen_slot)
    return Fate(LandingState.FAILED, failed[0].slot, _words(failed[0].err), seen_slot)


def _words(error: Any) -> str:
    return msgspec.json.encode(error).decode()[:_ERROR_CHARACTERS_MAX]
