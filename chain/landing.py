"""What became of a transaction, by what every endpoint says of it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from chain.node import EndpointStatuses, SignatureStatus

_ERROR_CHARACTERS_MAX = 300


class LandingState(StrEnum):
    """Where a transaction stands."""

    SUCCEEDED = "succeeded"
    """An endpoint has seen it confirmed, without error."""
    FAILED = "failed"
    """An endpoint has seen it finalized with an error, and none has seen it succeed."""
    UNDECIDED = "undecided"
    """An endpoint has seen it, but a fork may still decide otherwise."""
    UNKNOWN = "unknown"
    """No endpoint that answered has it in its history."""
    NOT_ASKED = "not asked"
    """No endpoint answered."""


@dataclass(frozen=True, slots=True)
class Fate:
    """Where a transaction stands, and what is known of it.

    Attributes:
        landing: Where it stands.
        slot: Where it landed.
        error: The chain's own words for why it failed.
        seen_slot: The slot of the endpoint that is furthest behind of those that answered.
    """

    landing: LandingState
    slot: int | None = None
    error: str | None = None
    seen_slot: int = 0


def fates(answers: Sequence[EndpointStatuses], count: int) -> list[Fate]:
    """The fate of each of `count` transactions, of which each endpoint was asked in the same order.

    A failure is believed when it is final only: until then the transaction may land again on another fork, and succeed.
    """
    answered = [(one.slot, one.statuses) for one in answers if one.statuses is not None and len(one.statuses) == count]
    seen_slot = min((slot for slot, _ in answered), default=0)
    return [_fate([statuses[n] for _, statuses in answered], seen_slot) for n in range(count)]


def _fate(statuses: Sequence[SignatureStatus | None], seen_slot: int) -> Fate:
    if not statuses:
        return Fate(LandingState.NOT_ASKED)
    known = [one for one in statuses if one is not None]
    if not known:
        return Fate(LandingState.UNKNOWN, seen_slot=seen_slot)
    for one in known:
        if one.err is None and one.confirmation_status in {"confirmed", "finalized"}:
            return Fate(LandingState.SUCCEEDED, one.slot, None, seen_slot)
    for one in known:
        if one.err is not None and one.confirmation_status == "finalized":
            return Fate(LandingState.FAILED, one.slot, _words(one.err), seen_slot)
    return Fate(LandingState.UNDECIDED, seen_slot=seen_slot)


def _words(error: Any) -> str:
    return msgspec.json.encode(error).decode()[:_ERROR_CHARACTERS_MAX]
