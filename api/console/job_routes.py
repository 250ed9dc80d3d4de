"""The marketplace as pages: jobs with their money and their time line, and what is paid out for them."""

import json
from collections.abc import Mapping
from typing import Annotated, Final, Literal
from urllib.parse import urlencode

from fastapi import Path, Query, Request
from starlette.responses import RedirectResponse, Response

from api.access.caller import Caller
from api.access.callers import sent_session
from api.console.context import Console, ConsoleContext
from api.console.forms import order_of, posted_form
from api.console.pages import PAGE_HEADERS
from api.console.timeline import timeline_of_job
from api.console.visitors import AdminVisitor, Visitor, WritingVisitor
from api.http.errors import ApiError, invalid
from api.marketplace.job_body import Status
from api.marketplace.job_pages import PayoutStanding, job_seen_by, jobs_page, payouts_page
from api.marketplace.payout_routes import Redirect, redirect_payout
from api.routing.route import new_router
from ledger.states import JobStatus

router = new_router("/console", is_documented=False)

_SHOWN: Final = 50
_TEXT_MAX: Final = 20_000
Cursor = Annotated[str, Query(max_length=200)]
RowId = Annotated[str, Path(max_length=64)]


@router.get("/jobs")
async def list_jobs(
    request: Request, context: Console, caller: Visitor, status: Literal["", Status] = "", cursor: Cursor = ""
) -> Response:
    """List jobs, newest first."""
    page = await jobs_page(context.marketplace, caller, status=status or None, cursor=cursor or None, limit=_SHOWN)
    return context.pages.page(
        request,
        "jobs.html",
        caller=caller,
        jobs=page.jobs,
        statuses=[one.value for one in JobStatus],
        chosen=status,
        first_link=_link("jobs", {"status": status}) if cursor else None,
        next_link=_link("jobs", {"status": status, "cursor": page.next_cursor}) if page.next_cursor else None,
    )


@router.get("/payouts")
async def list_payouts(
    request: Request,
    context: Console,
    caller: AdminVisitor,
    standing: Literal["", PayoutStanding] = "waiting",
    cursor: Cursor = "",
) -> Response:
    """List everybody's payouts, newest first."""
    page = await payouts_page(context.marketplace, standing=standing or None, cursor=cursor or None, limit=_SHOWN)
    return context.pages.page(
        request,
        "payouts.html",
        caller=caller,
        payouts=page.payouts,
        chosen=standing,
        first_link=_link("payouts", {"standing": standing}) if cursor else None,
        next_link=_link("payouts", {"standing": standing, "cursor": page.next_cursor}) if page.next_cursor else None,
    )


@router.get("/jobs/{job_id}")
async def show_job(request: Request, context: Console, caller: Visitor, job_id: RowId) -> Response:
    """Show a job: who does what for whom by when, where its money is, and what happened."""
    return await _page(request, context, caller, job_id)


async def _page(
    request: Request, context: ConsoleContext, caller: Caller, job_id: str, error: ApiError | None = None
) -> Response:
    seen = await job_seen_by(context.marketplace, caller, job_id)
    return context.pages.page(
        request,
        "job.html",
        caller=caller,
        status=error.status if error else 200,
        job=seen.job,
        payouts=seen.payouts,
        is_provider=seen.is_provider,
        texts={"Ordered": _text(seen.ordered), "Submitted": _text(seen.submitted)},
        moments=await timeline_of_job(context.payments.database, seen.job.id),
        problem=error.sentence if error else None,
    )


@router.post("/jobs/{job_id}/payouts/{payout_id}/redirect")
async def redirect(
    request: Request, context: Console, caller: WritingVisitor, job_id: RowId, payout_id: RowId
) -> Response:
    """Have a payout that waits sent to another wallet."""
    form = await posted_form(request, sent_session(request))
    # Whose job it is not does not learn that there is one.
    await job_seen_by(context.marketplace, caller, job_id)
    try:
        await redirect_payout(context.marketplace, caller, job_id, payout_id, _wanted(form))
    except ApiError as error:
        if error.status not in {400, 409}:
            raise
        return await _page(request, context, caller, job_id, error)
    return RedirectResponse(f"/console/jobs/{job_id}", 303, PAGE_HEADERS)


def _wanted(form: Mapping[str, str]) -> Redirect:
    if form.get("confirmed") != "yes":
        raise invalid("Confirm that the money may go to that wallet; nothing was changed.")
    sent = {"payoutAddress": form.get("wallet"), "signature": form.get("signature")}
    return order_of(Redirect, {name: value for name, value in sent.items() if value})


def _text(value: object) -> str | None:
    """JSON of a party's, as people read it; what is very long is cut."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return text if len(text) <= _TEXT_MAX else f"{text[:_TEXT_MAX]}…"


def _link(page: str, parameters: Mapping[str, str]) -> str:
    query = urlencode({name: value for name, value in parameters.items() if value or name == "standing"})
    return f"/console/{page}?{query}" if query else f"/console/{page}"
