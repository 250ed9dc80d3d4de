"""Jobs and payouts by page, as the parties of a job and admins see them."""

import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import Field

from api.access.caller import Caller
from api.http.cursors import place_of, time_cursor
from api.http.errors import not_found
from api.http.fields import BaseUnitsText, EpochMs, ExactAmount, parse_id
from api.http.json import AnswerShape, exact_amount
from api.marketplace.context import MarketplaceContext
from api.marketplace.job_body import JobBody, JobDetail, Status, job_body
from api.marketplace.job_routes import detail_of_job
from api.tokens import Token
from ledger.job_lists import ListedPayout, PlaceByTime, page_of_jobs, page_of_payouts, payouts_of_jobs
from ledger.jobs import find_job
from ledger.payout_redirects import REDIRECTABLE
from ledger.states import JobStatus, PayoutStatus
from ledger.times import epoch_ms

PayoutStanding = Literal["waiting", "sent", "settled"]
PAYOUT_STANDINGS: Final[Mapping[PayoutStanding, Sequence[PayoutStatus]]] = {
    "waiting": (PayoutStatus.QUEUED, PayoutStatus.WAITING, PayoutStatus.AWAITING_SIGNATURE),
    "sent": (PayoutStatus.SIGNED, PayoutStatus.SENT),
    "settled": (PayoutStatus.SETTLED,),
}
"""What people call the statuses of payouts."""


class PayoutBody(AnswerShape):
    """Money that is to leave, or has left, the settlement wallet for a job."""

    id: uuid.UUID
    job_id: uuid.UUID
    kind: Literal["release", "refund"]
    reason: str
    recipient: str
    mint: str
    currency: str
    amount: ExactAmount
    amount_base_units: BaseUnitsText
    charged: ExactAmount = Field(description="What of it stays for the costs of sending it")
    status: str
    waiting_reason: str | None
    signature: str | None
    created_at: EpochMs
    settled_at: EpochMs | None
    asked_recipient: str | None = Field(description="The wallet that it is to go to instead, once that is safe")
    can_be_redirected: bool


@dataclass(frozen=True, slots=True)
class ListedJob:
    """A job with its payouts."""

    job: JobBody
    payouts: Sequence[PayoutBody]


@dataclass(frozen=True, slots=True)
class JobsPage:
    """Jobs, newest first."""

    jobs: Sequence[ListedJob]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class PayoutsPage:
    """Payouts, newest first."""

    payouts: Sequence[PayoutBody]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class SeenJob:
    """A job as one of its parties or an admin sees it; what was ordered and submitted is JSON of theirs."""

    job: JobDetail
    ordered: Any
    submitted: Any
    payouts: Sequence[PayoutBody]
    is_provider: bool


async def jobs_page(
    context: MarketplaceContext, caller: Caller, *, status: Status | None, cursor: str | None, limit: int
) -> JobsPage:
    """A page of the jobs that the caller has ordered or offers, or of everybody's for an admin.

    Raises:
        ApiError: 400 for a cursor that no such page gave.
    """
    found = await page_of_jobs(
        context.database,
        user_id=None if caller.is_admin else caller.user_id,
        statuses=[status] if status else list(JobStatus),
        after=_place(cursor),
        limit=limit + 1,
    )
    page = found[:limit]
    payouts = defaultdict(list)
    for one in await payouts_of_jobs(context.database, [job.id for job in page]):
        payouts[one.job_id].append(await _payout(context, one))
    return JobsPage(
        [ListedJob(job_body(job), payouts[job.id]) for job in page],
        time_cursor(page[-1].created_at, page[-1].id) if len(found) > limit else None,
    )


async def payouts_page(
    context: MarketplaceContext, *, standing: PayoutStanding | None, cursor: str | None, limit: int
) -> PayoutsPage:
    """A page of everybody's payouts, for admins. Raises ApiError 400 for a cursor that no such page gave."""
    statuses = PAYOUT_STANDINGS[standing] if standing else list(PayoutStatus)
    found = await page_of_payouts(context.database, statuses=statuses, after=_place(cursor), limit=limit + 1)
    page = found[:limit]
    return PayoutsPage(
        [await _payout(context, one) for one in page],
        time_cursor(page[-1].created_at, page[-1].id) if len(found) > limit else None,
    )


async def job_seen_by(context: MarketplaceContext, caller: Caller, job_id: str) -> SeenJob:
    """A job of the caller's, or anybody's for an admin. Raises ApiError 404."""
    job = await find_job(context.database, parse_id(job_id, "The job"))
    if job is None or not (caller.sees(job.client_user_id) or caller.sees(job.provider_user_id)):
        raise not_found("The job")
    payouts = await payouts_of_jobs(context.database, [job.id])
    return SeenJob(
        await detail_of_job(context.database, job.id),
        job.input,
        job.output,
        [await _payout(context, one) for one in payouts],
        job.provider_user_id == caller.user_id,
    )


async def _payout(context: MarketplaceContext, one: ListedPayout) -> PayoutBody:
    token: Token = await context.tokens.describe(one.mint)
    return PayoutBody(
        id=one.id,
        job_id=one.job_id,
        kind=one.kind,
        reason=one.reason,
        recipient=one.recipient,
        mint=one.mint,
        currency=token.symbol,
        amount=exact_amount(one.amount, token.decimals),
        amount_base_units=str(one.amount),
        charged=exact_amount(one.charged, token.decimals),
        status=one.status,
        waiting_reason=one.waiting_reason,
        signature=one.settled_signature,
        created_at=epoch_ms(one.created_at),
        settled_at=epoch_ms(one.settled_at),
        asked_recipient=one.asked_recipient,
        can_be_redirected=one.status in REDIRECTABLE and one.asked_recipient is None,
    )


def _place(cursor: str | None) -> PlaceByTime | None:
    if cursor is None:
        return None
    at: tuple[dt.datetime, uuid.UUID] = place_of(cursor)
    return PlaceByTime(*at)
