"""The steps of a payout by name, so that tests can end the process before and after each of them."""

from contextlib import AbstractAsyncContextManager
from typing import Final

from runtime import crash_points
from runtime.crash_points import OnStep, watch_steps

__all__ = ["ELSEWHERE_STEPS", "STEPS", "OnStep", "crash_point", "watch_steps"]

STEPS: Final = ("make", "settle", "check", "sign", "store", "broadcast", "note", "end")
"""In the order in which a payout takes them; `end` only where a transaction could never land."""

ELSEWHERE_STEPS: Final = ("export", "import", "advance")
"""What happens to a payout signed elsewhere: its message is stored, then its signed bytes; its nonce was advanced."""


def crash_point(step: str) -> AbstractAsyncContextManager[None]:
    """Mark what is inside as the step `step` of a payout; see `runtime.crash_points`."""
    assert step in STEPS + ELSEWHERE_STEPS
    return crash_points.crash_point(step)
