"""The steps of jobs: who may take which, from where, and with the money where. The only place that moves a job.

What time moves (`expire_jobs`, `approve_silent_jobs`, `begin_funded_jobs`) and what money moves (`settlement.sql`) is
the worker's; what a party does is here. Functions take a connection or pool.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from ledger.sql import load_queries
from ledger.states import EscrowStatus, JobStatus

_queries = load_queries("ledger", "jobs.sql")


class Party(StrEnum):
    """Who may take a step."""

    CLIENT = "client"
    PROVIDER = "provider"
    ADMIN = "admin"


_HELD: Final = frozenset({EscrowStatus.ESCROWED})
_NOT_HELD: Final = frozenset({EscrowStatus.PENDING})
_BEFORE_WORK: Final = frozenset({EscrowStatus.PENDING, EscrowStatus.ESCROWED})


@dataclass(frozen=True, slots=True)
class JobStep:
    """One step that a party may take.

    Attributes:
        by: Whose step it is.
        start: Where the job may stand.
        to: Where it leads.
        escrow: Where the money may be.
        in_time: Only before the job's deadline.
    """

    by: frozenset[Party]
    start: frozenset[JobStatus]
    to: JobStatus
    escrow: frozenset[EscrowStatus]
    in_time: bool = False


# A name may stand for several steps; the first that fits is taken.
STEPS: Final[dict[str, tuple[JobStep, ...]]] = {
    "accept": (
        JobStep(
            frozenset({Party.PROVIDER}), frozenset({JobStatus.PENDING}), JobStatus.ACCEPTED, _BEFORE_WORK, in_time=True
        ),
    ),
    "submit": (
        JobStep(
            frozenset({Party.PROVIDER}),
            frozenset({JobStatus.ACCEPTED, JobStatus.IN_PROGRESS}),
            JobStatus.COMPLETED,
            _HELD,
            in_time=True,
        ),
    ),
    "approve": (JobStep(frozenset({Party.CLIENT}), frozenset({JobStatus.COMPLETED}), JobStatus.APPROVED, _HELD),),
    "dispute": (
        JobStep(
            frozenset({Party.CLIENT, Party.PROVIDER}),
            frozenset({JobStatus.ACCEPTED, JobStatus.IN_PROGRESS, JobStatus.COMPLETED}),
            JobStatus.DISPUTED,
            _HELD,
        ),
    ),
    "cancel": (
        # Whoever has not begun may go; a client whose provider is at work has to dispute instead.
        JobStep(frozenset({Party.CLIENT}), frozenset({JobStatus.PENDING}), JobStatus.CANCELLED, _BEFORE_WORK),
        JobStep(frozenset({Party.CLIENT}), frozenset({JobStatus.ACCEPTED}), JobStatus.CANCELLED, _NOT_HELD),
        JobStep(
            frozenset({Party.PROVIDER}),
            frozenset({JobStatus.PENDING, JobStatus.ACCEPTED, JobStatus.IN_PROGRESS}),
            JobStatus.CANCELLED,
            _BEFORE_WORK,
        ),
    ),
    "release": (
        JobStep(
            frozenset({Party.ADMIN}),
            frozenset({JobStatus.DISPUTED}),
            JobStatus.APPROVED,
            frozenset({EscrowStatus.DISPUTED}),
        ),
    ),
    "refund": (
        JobStep(
            frozenset({Party.ADMIN}),
            frozenset({JobStatus.DISPUTED}),
            JobStatus.CANCELLED,
            frozenset({EscrowStatus.DISPUTED}),
        ),
    ),
}
"""Every step by its name in the HTTP contract; `release` and `refund` are the two answers to `resolve`."""


def owners_of(name: str) -> frozenset[Party]:
    """Whose the step `name` is, wherever the job may stand."""
    return frozenset().union(*(step.by for step in STEPS[name]))


def allowed_steps(parties: frozenset[Party], status: str, escrow: str) -> list[str]:
    """The names of the steps that `parties` may take on a job as it stands, its deadline left aside."""
    return [
        name
        for name, steps in STEPS.items()
        if any(step.by & parties and status in step.start and escrow in step.escrow for step in steps)
    ]


async def take_step(
    database: Any,
    job: UUID,
    name: str,
    parties: frozenset[Party],
    *,
    by: str,
    output: Any = None,
    reason: str | None = None,
) -> bool:
    """Take the step `name` on a job; false when it does not stand where that step begins, for these parties.

    Each try is a compare-and-set: of two callers at the same moment one takes the step.
    """
    for step in STEPS[name]:
        if step.by & parties:
            moved = await _queries.step_job(
                database,
                id=job,
                to=step.to.value,
                from_statuses=[status.value for status in step.start],
                escrow_statuses=[status.value for status in step.escrow],
                in_time=step.in_time,
                output=output,
                reason=reason,
                by=by,
            )
            if moved is not None:
                return True
    return False
