"""Who may take which step of a job, from which status of the job and of its escrow. Pure: no clock, no database."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ledger.states import EscrowStatus, JobStatus


class Party(StrEnum):
    """Who may take a step."""

    CLIENT = "client"
    PROVIDER = "provider"
    ADMIN = "admin"


_CLIENT: Final = frozenset({Party.CLIENT})
_PROVIDER: Final = frozenset({Party.PROVIDER})
_ADMIN: Final = frozenset({Party.ADMIN})
_HELD: Final = frozenset({EscrowStatus.ESCROWED})
_NOT_HELD: Final = frozenset({EscrowStatus.PENDING})
_IN_DISPUTE: Final = frozenset({EscrowStatus.DISPUTED})
_BEFORE_WORK: Final = frozenset({EscrowStatus.PENDING, EscrowStatus.ESCROWED})


@dataclass(frozen=True, slots=True)
class JobStep:
    """One step that a party may take.

    Attributes:
        by: Whose step it is.
        start: The statuses in which the job may be.
        to: The status that the step leads to.
        escrow: The escrow statuses in which the job may be.
        in_time: The step is possible only before the job's deadline.
    """

    by: frozenset[Party]
    start: frozenset[JobStatus]
    to: JobStatus
    escrow: frozenset[EscrowStatus]
    in_time: bool = False


STEPS: Final[dict[str, tuple[JobStep, ...]]] = {
    "accept": (JobStep(_PROVIDER, frozenset({JobStatus.PENDING}), JobStatus.ACCEPTED, _BEFORE_WORK, in_time=True),),
    "start": (JobStep(_PROVIDER, frozenset({JobStatus.ACCEPTED}), JobStatus.IN_PROGRESS, _HELD, in_time=True),),
    "submit": (
        JobStep(
            _PROVIDER,
            frozenset({JobStatus.ACCEPTED, JobStatus.IN_PROGRESS}),
            JobStatus.COMPLETED,
            _HELD,
            in_time=True,
        ),
    ),
    "approve": (JobStep(_CLIENT, frozenset({JobStatus.COMPLETED}), JobStatus.APPROVED, _HELD),),
    "dispute": (
        JobStep(
            _CLIENT | _PROVIDER,
            frozenset({JobStatus.ACCEPTED, JobStatus.IN_PROGRESS, JobStatus.COMPLETED}),
            JobStatus.DISPUTED,
            _HELD,
        ),
    ),
    "cancel": (
        # A party that has not begun may leave; a client whose provider is at work has to dispute instead.
        JobStep(_CLIENT, frozenset({JobStatus.PENDING}), JobStatus.CANCELLED, _BEFORE_WORK),
        JobStep(_CLIENT, frozenset({JobStatus.ACCEPTED}), JobStatus.CANCELLED, _NOT_HELD),
        JobStep(
            _PROVIDER,
            frozenset({JobStatus.PENDING, JobStatus.ACCEPTED, JobStatus.IN_PROGRESS}),
            JobStatus.CANCELLED,
            _BEFORE_WORK,
        ),
    ),
    "release": (JobStep(_ADMIN, frozenset({JobStatus.DISPUTED}), JobStatus.APPROVED, _IN_DISPUTE),),
    "refund": (JobStep(_ADMIN, frozenset({JobStatus.DISPUTED}), JobStatus.CANCELLED, _IN_DISPUTE),),
}
"""Every step by its name in the HTTP contract; `release` and `refund` are the two answers to `resolve`.

A name may stand for several steps; the first that is possible is taken.
"""


def owners_of(name: str) -> frozenset[Party]:
    """Every party that may take the step `name` in some status of the job."""
    return frozenset().union(*(step.by for step in STEPS[name]))


def allowed_steps(parties: frozenset[Party], status: str, escrow: str) -> list[str]:
    """The names of the steps that `parties` may take on a job with these two statuses, its deadline left aside."""
    return [
        name
        for name, steps in STEPS.items()
        if any(step.by & parties and status in step.start and escrow in step.escrow for step in steps)
    ]
