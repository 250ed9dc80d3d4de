"""Work that operators order over HTTP and the other processes do: each order is a row, which says how it stands."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import Path
from pydantic import Field
from starlette.responses import Response

from api.access.caller import Caller
from api.access.callers import Admin
from api.access.environments import check_may_change
from api.http.errors import errors, invalid, not_found
from api.http.fields import Address, Base58Signature, EpochMs, SlotSent
from api.http.json import AnswerShape, NoFields, StrictShape, answer
from api.operations.context import Operations, OperationsContext
from api.routing.route import new_router
from chain.addresses import parse_address
from ledger.index_requests import Stretch, backfill_state, request_backfill
from ledger.recipients import find_recipient
from ledger.reports import reconciliation_state, request_reconciliation
from ledger.times import epoch_ms

router = new_router(prefix="/ops", tags=["Operations"])

_WHOLE: Final = "The ledger as a whole"
# The id says which of the two it is: nobody has to search for it in two tables.
_JOB_ID: Final = re.compile(r"(backfill|reconcile)-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


class BackfillOrder(StrictShape):
    """What to record again: one transaction, or a wallet's history, or everybody's, between two slots."""

    recipient: Address | None = Field(None, description="One followed wallet; all of them, if it is left out")
    signature: Base58Signature | None = Field(None, description="One transaction, and nothing else")
    from_slot: SlotSent | None = Field(None, description="From when on; from the beginning, if it is left out")
    to_slot: SlotSent | None = Field(None, description="Until when; until now, if it is left out")


class JobOrdered(AnswerShape):
    """Where to ask how the job stands."""

    job_id: str


class BackfillProgress(AnswerShape):
    """How far a backfill has come; all zero before an indexer has taken it up."""

    found: int = Field(0, description="Transactions: new, known and failed ones")
    new: int = 0
    known: int = 0
    failed: int = 0
    accounts: int = Field(0, description="Accounts to walk through")
    accounts_done: int = 0
    seconds: float = 0.0


class ClaimsDecided(AnswerShape):
    """What a reconciliation made of the claims that it looked at."""

    looked_at: int
    honoured: int
    refused: int
    expired: int
    missed_payments: int
    still_pending: int
    matched_by_reference: int
    finalized: int
    reversed: int


class ReconciliationProgress(AnswerShape):
    """How far a reconciliation has come."""

    decided: ClaimsDecided | None = Field(None, description="null until every claim has been looked at")


class JobState(AnswerShape):
    """How a job stands."""

    job_id: str
    kind: Literal["backfill", "reconcile"]
    state: Literal["queued", "running", "done", "failed"]
    progress: BackfillProgress | ReconciliationProgress
    error: str | None = Field(description="Why it failed, or what it met on its way")
    created_at: EpochMs
    started_at: EpochMs | None
    finished_at: EpochMs | None


def _progress(kind: str, stored: Mapping[str, Any]) -> BackfillProgress | ReconciliationProgress:
    if kind == "backfill":
        return BackfillProgress.of_stored(stored)
    decided = stored.get("decided")
    return ReconciliationProgress(decided=None if decided is None else ClaimsDecided.of_stored(decided))


@router.post("/backfill", response_model=JobOrdered, status_code=202, responses=errors(401, 403, 404, 409, 413, 415))
async def post_backfill(context: Operations, caller: Admin, order: BackfillOrder | None = None) -> Response:
    """Have the indexers record a stretch of history. Repeating it changes nothing."""
    return answer(await order_backfill(context, caller, order or BackfillOrder.model_validate({})), 202)


async def order_backfill(context: OperationsContext, caller: Caller, order: BackfillOrder) -> JobOrdered:
    """Have the indexers record a stretch of history; what waits for them already is not ordered twice.

    Raises:
        ApiError: 400 for an order that contradicts itself, 403 for a test key, 404 for a wallet that is not followed.
    """
    check_may_change(caller, None, _WHOLE)
    if order.signature is not None and order.model_fields_set - {"signature"}:
        raise invalid("signature means one transaction; leave recipient, fromSlot and toSlot out.")
    if order.from_slot is not None and order.to_slot is not None and order.from_slot > order.to_slot:
        raise invalid("fromSlot is later than toSlot; exchange them.", {"field": "fromSlot"})
    recipient = None
    if order.recipient is not None:
        recipient = parse_address(order.recipient)
        known = await find_recipient(context.database, recipient) if recipient else None
        if known is None or not known.is_active:
            raise not_found("A followed wallet of this address")
    stretch = Stretch(recipient, order.signature, order.from_slot, order.to_slot)
    job = await request_backfill(context.database, stretch, requested_by=caller.key_prefix)
    return JobOrdered(job_id=backfill_job_id(job))


def backfill_job_id(backfill: UUID) -> str:
    """The id under which the job of a backfill is asked about."""
    return f"backfill-{backfill}"


@router.post("/reconcile", response_model=JobOrdered, status_code=202, responses=errors(401, 403, 409, 413, 415))
async def post_reconcile(context: Operations, caller: Admin, _order: NoFields | None = None) -> Response:
    """Have the workers reconcile: decide every pending claim, and report what does not match."""
    check_may_change(caller, None, _WHOLE)
    job = await request_reconciliation(context.database, requested_by=caller.key_prefix)
    return answer(JobOrdered(job_id=f"reconcile-{job}"), 202)


@router.get("/jobs/{id}", response_model=JobState, responses=errors(401, 403, 404))
async def get_ops_job(
    context: Operations, _caller: Admin, job_id: Annotated[str, Path(alias="id", max_length=64)]
) -> Response:
    """Show how a job stands, and how far it has come."""
    return answer(await state_of_job(context, job_id))


async def state_of_job(context: OperationsContext, job_id: str) -> JobState:
    """How a job stands. Raises ApiError 404 where there is none of this id."""
    if (found := _JOB_ID.fullmatch(job_id)) is None:
        raise not_found("The job")
    kind, job = found.group(1), UUID(found.group(2))
    state_of = backfill_state if kind == "backfill" else reconciliation_state
    if (state := await state_of(context.database, job)) is None:
        raise not_found("The job")
    return JobState(
        job_id=job_id,
        kind=kind,
        state=state.status,
        progress=_progress(kind, state.progress),
        error=state.error,
        created_at=epoch_ms(state.created_at),
        started_at=epoch_ms(state.started_at),
        finished_at=epoch_ms(state.finished_at),
    )
