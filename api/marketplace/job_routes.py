"""Jobs: ordered by a client, done by a provider, funded and paid by what the ledger shows, not by what they say."""

import datetime as dt
import uuid
from typing import Annotated, Any, Final, Literal

from fastapi import Depends, Query, Request
from pydantic import Field
from starlette.responses import Response

from api.access.caller import Caller
from api.access.callers import optional_caller, require
from api.http.errors import conflict, errors, forbidden, invalid, not_found
from api.http.fields import LongText, ShortText, parse_id
from api.http.json import Shape, StrictShape, answer
from api.http.stored_json import stored_json
from api.marketplace.job_body import JobDetail, JobList, Status, job_json, job_resource, movement_json
from api.marketplace.service_routes import find_service
from api.resources import Resources, resources
from api.routing.route import new_router
from chain.references import fresh_reference
from ledger.jobs import Party, allowed_steps, owners_of, take_step
from ledger.payment_requests import create_request
from ledger.recipients import Recipient, find_recipient

router = new_router(prefix="/marketplace/jobs", tags=["Marketplace"])

_MAX_JSON_BYTES: Final = 262_144
_LONGEST_JOB: Final = dt.timedelta(days=365)
JobId = Annotated[str, Field(max_length=64)]


class JobOrder(Shape):
    """A service to be ordered."""

    service_id: str
    input: Any = None
    deadline: int | None = Field(None, description="When it must be submitted, in milliseconds since 1970")
    client_agent_id: ShortText | None = Field(None, description="Who orders it; the caller, if it is left out")


class Submission(Shape):
    """What the provider has done."""

    output: Any


class Dispute(Shape):
    """Why one of the two disagrees."""

    reason: LongText = Field(min_length=1)


class Rating(Shape):
    """What the client thinks of it."""

    score: int = Field(ge=1, le=5)
    feedback: Annotated[LongText, Field(max_length=2000)] | None = None


class Resolution(StrictShape):
    """How a dispute ends."""

    resolution: Literal["release", "refund"]


@router.get("", response_model=JobList, responses=errors())
async def get_jobs(
    request: Request,
    _caller: Annotated[Caller | None, Depends(optional_caller)],
    status: Status | None = None,
    agent_id: Annotated[ShortText | None, Query(alias="agentId")] = None,
    as_provider: Annotated[bool, Query(alias="asProvider", description="agentId is the provider's")] = False,
    client_agent_id: Annotated[ShortText | None, Query(alias="clientAgentId")] = None,
    provider_agent_id: Annotated[ShortText | None, Query(alias="providerAgentId")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> Response:
    """List jobs, newest first."""
    parts = resources(request)
    which = {
        "status": status,
        "client": client_agent_id or (None if as_provider else agent_id),
        "provider": provider_agent_id or (agent_id if as_provider else None),
    }
    rows = parts.queries.jobs(parts.database, limit=limit, offset=offset, **which)
    jobs = [job_json(row) async for row in rows]
    total = await parts.queries.count_jobs(parts.database, **which)
    return answer({"jobs": jobs, "total": total, "limit": limit, "offset": offset})


@router.get("/{job_id}", response_model=JobDetail, responses=errors(404))
async def get_job(
    request: Request, job_id: JobId, _caller: Annotated[Caller | None, Depends(optional_caller)]
) -> Response:
    """Show a job and every payment for it."""
    return answer(await _detail(resources(request), parse_id(job_id, "The job")))


@router.post("", response_model=JobDetail, status_code=201, responses=errors(401, 403, 404, 409))
async def post_job(
    request: Request,
    caller: Annotated[Caller, Depends(require("write"))],
    order: JobOrder,
    agent_id: Annotated[ShortText | None, Query(alias="agentId")] = None,
) -> Response:
    """Order a service. The answer holds the payment that funds the job: pay it with its reference or its memo."""
    parts = resources(request)
    service = await find_service(parts, order.service_id)
    if not service["is_active"]:
        raise conflict("The service is not on offer any more; order another.")
    wallet = await settlement_wallet(parts)
    deadline = _deadline(parts, order.deadline)
    funding = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=parts.settings.funding_seconds)
    stored = stored_json(order.input, "input", _MAX_JSON_BYTES)
    async with parts.database.acquire() as connection, connection.transaction():
        asked = await create_request(
            connection,
            user_id=wallet.user_id,
            recipient=wallet.address,
            mint=service["price_mint"],
            currency=service["price_currency"],
            amount=service["price_amount"],
            resource=job_resource(service["name"]),
            expires_at=min(funding, deadline),
            reference=fresh_reference(),
            environment=caller.environment,
            metadata={"serviceId": str(service["id"])},
        )
        added = await parts.queries.add_job(
            connection,
            service_id=service["id"],
            client_user_id=caller.user_id,
            client_agent_id=order.client_agent_id or agent_id or caller.user_id,
            nonce=asked.nonce,
            input=stored,
            deadline=deadline,
            price_amount=service["price_amount"],
            price_mint=service["price_mint"],
        )
        if added is None:
            raise conflict("The service was changed at this very moment; look at it again and order it anew.")
    return answer(await _detail(parts, added["id"]), 201)


async def settlement_wallet(parts: Resources) -> Recipient:
    """The wallet that jobs are paid to. Raises ApiError 409 where none is followed: to repeat it would not help."""
    address = parts.settings.settlement_wallet
    wallet = await find_recipient(parts.database, address) if address else None
    if wallet is None or not wallet.is_active:
        raise conflict(
            "The marketplace has no settlement wallet that is followed, so nothing can be paid for; "
            "its operator sets SETTLEMENT_WALLET and adds it with `pay402 recipients add`."
        )
    return wallet


def _deadline(parts: Resources, milliseconds: int | None) -> dt.datetime:
    now = dt.datetime.now(dt.UTC)
    if milliseconds is None:
        return now + dt.timedelta(seconds=parts.settings.job_seconds)
    latest = now + _LONGEST_JOB
    if not now.timestamp() * 1000 < milliseconds <= latest.timestamp() * 1000:
        raise invalid("deadline must lie in the future, within a year; correct it.", {"field": "deadline"})
    return dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)


@router.post("/{job_id}/accept", response_model=JobDetail, responses=errors(401, 403, 404, 409))
async def accept(request: Request, job_id: JobId, caller: Annotated[Caller, Depends(require("write"))]) -> Response:
    """Accept a job; by its provider."""
    return await _step(request, job_id, caller, "accept")


@router.post("/{job_id}/submit", response_model=JobDetail, responses=errors(401, 403, 404, 409))
async def submit(
    request: Request, job_id: JobId, caller: Annotated[Caller, Depends(require("write"))], done: Submission
) -> Response:
    """Submit what was ordered; by its provider, once the job is funded."""
    return await _step(request, job_id, caller, "submit", output=stored_json(done.output, "output", _MAX_JSON_BYTES))


@router.post("/{job_id}/approve", response_model=JobDetail, responses=errors(401, 403, 404, 409))
async def approve(request: Request, job_id: JobId, caller: Annotated[Caller, Depends(require("write"))]) -> Response:
    """Approve what was submitted; by the client. The provider is paid from then on."""
    return await _step(request, job_id, caller, "approve")


@router.post("/{job_id}/dispute", response_model=JobDetail, responses=errors(401, 403, 404, 409))
async def dispute(
    request: Request, job_id: JobId, caller: Annotated[Caller, Depends(require("write"))], body: Dispute
) -> Response:
    """Dispute a funded job; by its client or its provider. The money stays until an admin decides."""
    return await _step(request, job_id, caller, "dispute", reason=body.reason)


@router.post("/{job_id}/cancel", response_model=JobDetail, responses=errors(401, 403, 404, 409))
async def cancel(request: Request, job_id: JobId, caller: Annotated[Caller, Depends(require("write"))]) -> Response:
    """Cancel a job: its client until work on it begins, its provider until it is submitted. What was paid goes back."""
    return await _step(request, job_id, caller, "cancel")


@router.post("/{job_id}/resolve", response_model=JobDetail, responses=errors(401, 403, 404, 409))
async def resolve(
    request: Request, job_id: JobId, caller: Annotated[Caller, Depends(require("admin"))], body: Resolution
) -> Response:
    """Decide a dispute; by an admin."""
    return await _step(request, job_id, caller, body.resolution)


@router.post("/{job_id}/rate", response_model=JobDetail, responses=errors(401, 403, 404, 409))
async def rate(
    request: Request, job_id: JobId, caller: Annotated[Caller, Depends(require("write"))], body: Rating
) -> Response:
    """Rate an approved job, once; by its client. The rating counts from the release on."""
    parts = resources(request)
    row = await _find(parts, job_id)
    if Party.CLIENT not in _parties(row, caller):
        raise forbidden("Only the client of a job rates it.")
    rated = await parts.queries.rate_job(parts.database, job_id=row["id"], score=body.score, feedback=body.feedback)
    if rated is None:
        reason = "was rated before" if row["score"] is not None else f"is {row['status']} and not approved"
        raise conflict(f"The job {reason}; an approved job is rated once.", _standing(row, caller))
    return answer(await _detail(parts, row["id"]))


async def _step(request: Request, job_id: str, caller: Caller, name: str, **details: Any) -> Response:
    parts = resources(request)
    row = await _find(parts, job_id)
    parties = _parties(row, caller)
    if name in {"release", "refund"}:
        parties = frozenset({Party.ADMIN})
    elif not parties:
        raise forbidden("The job is neither ordered nor offered by this user; use the key of one of its parties.")
    elif not parties & (owners := owners_of(name)):
        whose = " or ".join(sorted(owners))
        raise forbidden(f"To {name} is the step of the job's {whose}, and this key is not theirs; use the right one.")
    if not await take_step(parts.database, row["id"], name, parties, by=caller.user_id, **details):
        row = await _find(parts, job_id)
        standing = _standing(row, caller)
        steps = ", ".join(standing["allowedSteps"]) or "none"
        raise conflict(
            f"The job is {row['status']} and its money {row['escrow_status']}, so {name} is not possible"
            f"{_late(row)}; possible for this caller: {steps}.",
            standing,
        )
    return answer(await _detail(parts, row["id"]))


def _late(row: Any) -> str:
    return " after its deadline" if row["deadline"] < dt.datetime.now(dt.UTC) else ""


def _parties(row: Any, caller: Caller) -> frozenset[Party]:
    parties = set()
    if row["client_user_id"] == caller.user_id:
        parties.add(Party.CLIENT)
    if row["provider_user_id"] == caller.user_id:
        parties.add(Party.PROVIDER)
    return frozenset(parties)


def _standing(row: Any, caller: Caller) -> dict[str, Any]:
    parties = _parties(row, caller) | ({Party.ADMIN} if caller.is_admin else set())
    steps = allowed_steps(frozenset(parties), row["status"], row["escrow_status"])
    return {"status": row["status"], "escrowStatus": row["escrow_status"], "allowedSteps": steps}


async def _find(parts: Resources, job_id: str) -> Any:
    row = await parts.queries.job(parts.database, id=parse_id(job_id, "The job"))
    if row is None:
        raise not_found("The job")
    return row


async def _detail(parts: Resources, job: uuid.UUID) -> dict[str, Any]:
    row = await parts.queries.job(parts.database, id=job)
    if row is None:
        raise not_found("The job")
    money = parts.queries.job_money(parts.database, job_id=job)
    return {**job_json(row), "money": [movement_json(one) async for one in money]}
