"""Jobs: ordered by a client, done by a provider, funded and paid by what the ledger shows, not by what they say."""

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import Depends, Query
from fastapi.types import DecoratedCallable
from starlette.responses import Response

from api.access.caller import Caller
from api.access.callers import Admin, Writer, optional_caller
from api.access.environments import check_may_change, check_may_trade
from api.http.errors import ApiError, conflict, errors, forbidden, invalid, not_found
from api.http.fields import ShortText, parse_id
from api.http.json import answer
from api.http.stored_json import stored_json
from api.marketplace.context import Marketplace, MarketplaceContext, own_agent_id
from api.marketplace.job_body import (
    Dispute,
    JobDetail,
    JobId,
    JobList,
    JobOrder,
    Rating,
    Resolution,
    Status,
    Submission,
    job_body,
    job_detail,
    job_resource,
)
from api.marketplace.service_routes import find_service
from api.routing.route import new_router
from chain.references import fresh_reference
from ledger.job_steps import Party, allowed_steps, owners_of
from ledger.jobs import (
    FullJob,
    Job,
    JobFilter,
    NewJob,
    add_job,
    find_job,
    job_movements,
    list_jobs,
    rate_job,
    take_step,
)
from ledger.payment_requests import create_request
from ledger.sql import Database
from ledger.states import JobStatus

router = new_router(prefix="/marketplace/jobs", tags=["Marketplace"])

_JSON_BYTES_MAX: Final = 262_144
_LONGEST_JOB: Final = dt.timedelta(days=365)


def _step_route(name: str) -> Callable[[DecoratedCallable], DecoratedCallable]:
    """A route that takes a job one step on and answers the job as it is then."""
    return router.post(f"/{{job_id}}/{name}", response_model=JobDetail, responses=errors(401, 403, 404, 409))


@router.get("", response_model=JobList, responses=errors())
async def get_jobs(
    marketplace: Marketplace,
    _caller: Annotated[Caller | None, Depends(optional_caller)],
    status: Status | None = None,
    agent_id: Annotated[ShortText | None, Query(alias="agentId")] = None,
    as_provider: Annotated[bool, Query(alias="asProvider", description="agentId is the provider's")] = False,
    client_agent_id: Annotated[ShortText | None, Query(alias="clientAgentId")] = None,
    provider_agent_id: Annotated[ShortText | None, Query(alias="providerAgentId")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> Response:
    """List jobs, newest first. What was ordered and submitted is shown by one job alone."""
    which = JobFilter(
        status=JobStatus(status) if status else None,
        client=client_agent_id or (None if as_provider else agent_id),
        provider=provider_agent_id or (agent_id if as_provider else None),
    )
    page, total = await list_jobs(marketplace.database, which, limit=limit, offset=offset)
    return answer(JobList(jobs=[job_body(job) for job in page], total=total, limit=limit, offset=offset))


@router.get("/{job_id}", response_model=JobDetail, responses=errors(404))
async def get_job(
    marketplace: Marketplace, job_id: JobId, _caller: Annotated[Caller | None, Depends(optional_caller)]
) -> Response:
    """Show a job and every payment for it."""
    return answer(await detail_of_job(marketplace.database, parse_id(job_id, "The job")))


@router.post("", response_model=JobDetail, status_code=201, responses=errors(401, 403, 404, 409))
async def post_job(
    marketplace: Marketplace,
    caller: Writer,
    order: JobOrder,
    agent_id: Annotated[ShortText | None, Query(alias="agentId")] = None,
) -> Response:
    """Order a service. The answer holds the payment that funds the job: pay it with its reference or its memo."""
    service = await find_service(marketplace.database, order.service_id)
    if not service.is_active:
        raise conflict("The service is not on offer any more; order another.")
    check_may_trade(caller, service.environment, "The service")
    if service.environment == "test" and caller.environment != "test":
        raise conflict("The service is offered for tests, so its jobs move no live money; order it with a test key.")
    if not marketplace.takes(service.price_currency):
        raise conflict(f"Nothing is sold for {service.price_currency} any more; order another service.")
    wallet = await marketplace.settlement_recipient()
    if wallet.environment == "test" and caller.environment != "test":
        raise conflict(
            "The settlement wallet is for tests, so no live job is paid to it; its operator makes it live again with "
            "`pay402 recipients add`."
        )
    deadline = _deadline(marketplace, order.deadline)
    fund_until = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=marketplace.funding_seconds)
    stored = stored_json(order.input, "input", _JSON_BYTES_MAX)
    client_agent_id = order.client_agent_id or agent_id or caller.user_id
    async with marketplace.database.acquire() as connection, connection.transaction():
        await own_agent_id(connection, client_agent_id, caller)
        asked = await create_request(
            connection,
            user_id=wallet.user_id,
            recipient=wallet.address,
            reference=fresh_reference(),
            mint=service.price_mint,
            currency=service.price_currency,
            amount=service.price_amount,
            resource=job_resource(service.name),
            expires_at=min(fund_until, deadline),
            environment=caller.environment,
            wallet_environment=wallet.environment,
            metadata={"serviceId": str(service.id)},
        )
        if asked is None:
            raise conflict("The settlement wallet was changed at this very moment; order the service anew.")
        new = NewJob(
            service_id=service.id,
            client_user_id=caller.user_id,
            client_agent_id=client_agent_id,
            nonce=asked.nonce,
            input=stored,
            deadline=deadline,
            price_amount=service.price_amount,
            price_mint=service.price_mint,
            service_environment=service.environment,
        )
        added = await add_job(connection, new)
        if added is None:
            raise conflict("The service was changed at this very moment; look at it again and order it anew.")
        # Read back before the commit: what cannot be answered is not written.
        return answer(await detail_of_job(connection, added, sent=("input", stored)), 201)


def _deadline(marketplace: MarketplaceContext, milliseconds: int | None) -> dt.datetime:
    now = dt.datetime.now(dt.UTC)
    if milliseconds is None:
        return now + dt.timedelta(seconds=marketplace.job_seconds)
    latest = now + _LONGEST_JOB
    if not now.timestamp() * 1000 < milliseconds <= latest.timestamp() * 1000:
        raise invalid("deadline must lie in the future, within a year; correct it.", {"field": "deadline"})
    return dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)


@_step_route("accept")
async def accept(marketplace: Marketplace, job_id: JobId, caller: Writer) -> Response:
    """Accept a job; by its provider."""
    return await _step(marketplace, job_id, caller, "accept")


@_step_route("start")
async def start(marketplace: Marketplace, job_id: JobId, caller: Writer) -> Response:
    """Say that work on a funded job has begun; by its provider. A job can be submitted without this."""
    return await _step(marketplace, job_id, caller, "start")


@_step_route("submit")
async def submit(marketplace: Marketplace, job_id: JobId, caller: Writer, done: Submission) -> Response:
    """Submit what was ordered; by its provider, once the job is funded."""
    output = stored_json(done.output, "output", _JSON_BYTES_MAX)
    return await _step(marketplace, job_id, caller, "submit", output=output)


@_step_route("approve")
async def approve(marketplace: Marketplace, job_id: JobId, caller: Writer) -> Response:
    """Approve what was submitted; by the client. The provider is paid from then on."""
    return await _step(marketplace, job_id, caller, "approve")


@_step_route("dispute")
async def dispute(marketplace: Marketplace, job_id: JobId, caller: Writer, body: Dispute) -> Response:
    """Dispute a funded job; by its client or its provider. The money stays until an admin decides."""
    return await _step(marketplace, job_id, caller, "dispute", reason=body.reason)


@_step_route("cancel")
async def cancel(marketplace: Marketplace, job_id: JobId, caller: Writer) -> Response:
    """Cancel a job: its client until work on it begins, its provider until it is submitted. What was paid goes back."""
    return await _step(marketplace, job_id, caller, "cancel")


@_step_route("resolve")
async def resolve(marketplace: Marketplace, job_id: JobId, caller: Admin, body: Resolution) -> Response:
    """Decide a dispute; by an admin."""
    return await _step(marketplace, job_id, caller, body.resolution)


@_step_route("rate")
async def rate(marketplace: Marketplace, job_id: JobId, caller: Writer, body: Rating) -> Response:
    """Rate an approved job, once; by its client. The rating counts from the release on."""
    job = await _find_to_change(marketplace, job_id, caller)
    if Party.CLIENT not in _parties(job, caller):
        raise forbidden("Only the client of a job rates it.")
    async with marketplace.database.acquire() as connection, connection.transaction():
        if not await rate_job(connection, job.id, score=body.score, feedback=body.feedback):
            reason = "was rated before" if job.score is not None else f"is {job.status} and not approved"
            raise conflict(f"The job {reason}; an approved job is rated once.", _standing(job, caller))
        return answer(await detail_of_job(connection, job.id))


async def _step(
    marketplace: MarketplaceContext,
    job_id: str,
    caller: Caller,
    name: str,
    *,
    output: Any = None,
    reason: str | None = None,
) -> Response:
    job = await _find_to_change(marketplace, job_id, caller)
    parties = _parties(job, caller)
    if name in {"release", "refund"}:
        parties = frozenset({Party.ADMIN})
    elif not parties:
        raise forbidden("The job is neither ordered nor offered by this user; use the key of one of its parties.")
    elif not parties & (owners := owners_of(name)):
        whose = " or ".join(sorted(owners))
        raise forbidden(f"To {name} is the step of the job's {whose}, and this key is not theirs; use the right one.")
    async with marketplace.database.acquire() as connection, connection.transaction():
        if not await take_step(connection, job.id, name, parties, by=caller.user_id, output=output, reason=reason):
            raise _out_of_order(await _found(connection, job.id), caller, name)
        # Read back before the commit: what cannot be answered is not written.
        sent = ("output", output) if name == "submit" else None
        return answer(await detail_of_job(connection, job.id, sent=sent))


def _out_of_order(job: Job, caller: Caller, name: str) -> ApiError:
    standing = _standing(job, caller)
    steps = ", ".join(standing["allowedSteps"]) or "none"
    return conflict(
        f"The job is {job.status} and its money {job.escrow_status}, so {name} is not possible"
        f"{_late(job)}; possible for this caller: {steps}.",
        standing,
    )


def _late(job: Job) -> str:
    return " after its deadline" if job.deadline < dt.datetime.now(dt.UTC) else ""


def _parties(job: Job, caller: Caller) -> frozenset[Party]:
    parties = set()
    if job.client_user_id == caller.user_id:
        parties.add(Party.CLIENT)
    if job.provider_user_id == caller.user_id:
        parties.add(Party.PROVIDER)
    return frozenset(parties)


def _standing(job: Job, caller: Caller) -> dict[str, Any]:
    parties = _parties(job, caller) | ({Party.ADMIN} if caller.is_admin else set())
    steps = allowed_steps(frozenset(parties), job.status, job.escrow_status)
    return {"status": job.status, "escrowStatus": job.escrow_status, "allowedSteps": steps}


async def _find_to_change(marketplace: MarketplaceContext, job_id: str, caller: Caller) -> Job:
    """The job of this id. Raises ApiError 403 for a live one and a test key, 404 where there is none."""
    job = await _found(marketplace.database, parse_id(job_id, "The job"))
    check_may_change(caller, job.environment, "The job")
    return job


async def _found(database: Database, job_id: uuid.UUID) -> FullJob:
    job = await find_job(database, job_id)
    if job is None:
        raise not_found("The job")
    return job


async def detail_of_job(database: Database, job_id: uuid.UUID, *, sent: tuple[str, Any] | None = None) -> JobDetail:
    """A job with every payment for it. `sent` is a field of JSON with what was written into it just now.

    Raises:
        ApiError: 404 where there is no such job; 400 where the database gives back something else than was sent.
    """
    job = await _found(database, job_id)
    if sent is not None and getattr(job, sent[0]) != sent[1]:
        raise invalid(f"{sent[0]} cannot be stored as it is; send it as text.", {"field": sent[0]})
    return job_detail(job, await job_movements(database, job_id))
