"""Jobs of the marketplace. What moves a job stands here; `job_steps` says which party may take which step.

Each write is one statement with its event in it, and moves a job only from the status in which it is believed to be: of
two callers at the same moment, one moves it. Functions take a connection or pool.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from ledger.job_steps import STEPS, Party
from ledger.sql import Database, DatabaseConnection, from_row, load_queries
from ledger.states import ClaimStatus, EscrowStatus, JobStatus

_queries = load_queries("ledger", "jobs.sql")


@dataclass(frozen=True, slots=True)
class NewJob:
    """A service to be ordered as its client has seen it: its environment, and its price in base units of `price_mint`.

    `nonce` is that of the payment request that funds the job.
    """

    service_id: UUID
    client_user_id: str
    client_agent_id: str
    nonce: str
    input: Any
    deadline: dt.datetime
    price_amount: int
    price_mint: str
    service_environment: str


@dataclass(frozen=True, slots=True)
class Job:
    """A job, its service and its funding.

    Attributes:
        price_amount: In base units of `price_mint`, a token with `decimals`.
        nonce: The payment request that funds it.
        reference: The key that a transfer to `settlement_wallet` carries to fund it.
        environment: That of the key which ordered it, `live` or `test`.
        fund_until: What is paid later goes back.
        score: The client's rating, `None` while there is none.
        claim_status: The status of the claim on its nonce, `None` while there is none.
        funding_signature: The transaction that paid what is held for it, `None` before.
    """

    id: UUID
    service_id: UUID
    service_name: str
    client_user_id: str
    client_agent_id: str
    provider_user_id: str
    provider_agent_id: str
    status: JobStatus
    escrow_status: EscrowStatus
    price_amount: int
    price_mint: str
    price_currency: str
    decimals: int
    nonce: str
    reference: str
    settlement_wallet: str
    environment: str
    fund_until: dt.datetime
    dispute_reason: str | None
    resolution: str | None
    score: int | None
    feedback: str | None
    deadline: dt.datetime
    created_at: dt.datetime
    accepted_at: dt.datetime | None
    escrowed_at: dt.datetime | None
    completed_at: dt.datetime | None
    ended_at: dt.datetime | None
    settled_at: dt.datetime | None
    updated_at: dt.datetime
    claim_status: ClaimStatus | None
    funding_signature: str | None


@dataclass(frozen=True, slots=True)
class FullJob(Job):
    """A job with what its client ordered and its provider submitted: JSON of theirs."""

    input: Any
    output: Any


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs are asked for; `client` and `provider` are ids of agents."""

    status: JobStatus | None = None
    client: str | None = None
    provider: str | None = None


@dataclass(frozen=True, slots=True)
class RecentJob:
    """A job of a service, in short."""

    id: UUID
    status: JobStatus
    escrow_status: EscrowStatus
    created_at: dt.datetime
    completed_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class JobMovement:
    """A payment that came in for a job (`way` is `in`), or a payout that leaves for it (`release` or `refund`).

    `amount` is in base units of `mint`, and goes to the wallet `recipient`.
    """

    way: str
    payout_id: UUID | None
    recipient: str
    signature: str | None
    mint: str
    amount: int
    reason: str
    status: str
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class Funding:
    """How many jobs were funded, and how many payments have a part that goes back."""

    funded: int
    to_return: int


async def add_job(connection: DatabaseConnection, new: NewJob) -> UUID | None:
    """Order a service; `None` where it is off the market, or its price or environment is another by now."""
    row: Mapping[str, UUID] | None = await _queries.add_job(
        connection,
        service_id=new.service_id,
        client_user_id=new.client_user_id,
        client_agent_id=new.client_agent_id,
        nonce=new.nonce,
        input=new.input,
        deadline=new.deadline,
        price_amount=new.price_amount,
        price_mint=new.price_mint,
        service_environment=new.service_environment,
    )
    return row["id"] if row else None


async def find_job(database: Database, job_id: UUID) -> FullJob | None:
    """A job with its service and its funding; `None` where there is none."""
    row = await _queries.job(database, id=job_id)
    return from_row(FullJob, row) if row else None


async def list_jobs(database: Database, which: JobFilter, *, limit: int, offset: int) -> tuple[list[Job], int]:
    """A page of jobs, newest first, and how many there are in all."""
    rows = _queries.jobs(database, ids=None, limit=limit, offset=offset, **asdict(which))
    page = [from_row(Job, row) async for row in rows]
    total: int = await _queries.count_jobs(database, **asdict(which))
    return page, total


async def jobs_of_ids(database: Database, ids: Sequence[UUID]) -> list[Job]:
    """These jobs, newest first."""
    rows = _queries.jobs(database, ids=list(ids), limit=len(ids), offset=0, **asdict(JobFilter()))
    return [from_row(Job, row) async for row in rows]


async def recent_jobs(database: Database, service_id: UUID, *, limit: int) -> list[RecentJob]:
    """The newest jobs of a service."""
    return [
        from_row(RecentJob, row) async for row in _queries.recent_jobs(database, service_id=service_id, limit=limit)
    ]


async def job_movements(database: Database, job_id: UUID) -> list[JobMovement]:
    """Every payment that came in for a job and every payout that leaves for it, oldest first."""
    return [from_row(JobMovement, row) async for row in _queries.job_movements(database, job_id=job_id)]


async def take_step(
    database: Database,
    job_id: UUID,
    name: str,
    parties: frozenset[Party],
    *,
    by: str,
    output: Any = None,
    reason: str | None = None,
) -> bool:
    """Take the step `name` as one of `parties`.

    Args:
        database: A connection or pool.
        job_id: The job.
        name: A key of `STEPS`.
        parties: What the caller is to this job.
        by: The user who takes the step, for the event.
        output: What was done, where the step is `submit`.
        reason: Why, where the step is `dispute`.

    Returns:
        False where the job's status, its money or its deadline does not allow the step; nothing has changed then.
    """
    for step in STEPS[name]:
        if step.by & parties:
            moved = await _queries.step_job(
                database,
                id=job_id,
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


async def rate_job(database: Database, job_id: UUID, *, score: int, feedback: str | None) -> bool:
    """Keep a client's rating of an approved job, 1 to 5; false where it is not approved or was rated before."""
    return await _queries.rate_job(database, job_id=job_id, score=score, feedback=feedback) is not None


async def count_late_ratings(database: Database) -> None:
    """Count ratings that were given at the very moment of their release and were overlooked by it."""
    await _queries.count_late_ratings(database)


async def fund_jobs(database: Database, *, limit: int) -> Funding:
    """Let finalized payments fund their jobs, at most `limit`; what is not the price is noted to go back."""
    row = await _queries.fund_jobs(database, limit=limit)
    return from_row(Funding, row)


async def approve_silent_jobs(database: Database, *, review_seconds: float, limit: int) -> int:
    """Approve jobs whose clients did nothing for `review_seconds` after they were submitted; returns how many."""
    return _jobs(await _queries.approve_silent_jobs(database, review_seconds=review_seconds, limit=limit))


async def expire_jobs(database: Database, *, grace_seconds: float, limit: int) -> int:
    """Expire jobs that were not done by their deadline, or not funded in time; returns how many.

    A payment that was made in time gets `grace_seconds` to be recorded.
    """
    return _jobs(await _queries.expire_jobs(database, grace_seconds=grace_seconds, limit=limit))


def _jobs(row: Mapping[str, int]) -> int:
    return row["jobs"]
