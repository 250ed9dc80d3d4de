"""Reconciliation as pages: what did not match, what each finding means, and what was decided about it."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal
from urllib.parse import urlencode

from fastapi import Path, Query, Request
from starlette.responses import RedirectResponse, Response

from api.access.caller import Caller
from api.access.callers import sent_session
from api.analytics.finding_bodies import MEANINGS, Acceptance, FindingBody, FindingKind, Note, Refund, Withdrawal
from api.analytics.finding_routes import accept, finding_seen_by, findings_page, refund, withdraw, write_note
from api.console.codes import code_to_scan
from api.console.context import Console, ConsoleContext
from api.console.downloads import csv_file, json_file
from api.console.forms import order_of, posted_form
from api.console.pages import PAGE_HEADERS
from api.console.payment_routes import explorer_link
from api.console.visitors import Visitor, WritingVisitor
from api.http.errors import ApiError, not_found
from api.routing.route import new_router
from ledger.findings import FindingState
from ledger.reports import newest_report_moment
from ledger.times import epoch_ms

router = new_router("/console/reconciliation", is_documented=False)

_SHOWN: Final = 50
_HERE: Final = "/console/reconciliation"
_DOWNLOADED_MAX: Final = 10_000
_COLUMNS: Final = (
    "id", "kind", "state", "at", "user_id", "amount", "expected", "refundable", "refunded", "currency", "mint",
    "amount_base_units", "expected_base_units", "payer", "recipient", "signature", "path", "nonce", "claim_id", "code",
    "meaning",
)  # fmt: skip

KindChosen = Literal["", FindingKind]
StateChosen = Literal["", FindingState]
Cursor = Annotated[str, Query(max_length=200)]
FindingId = Annotated[str, Path(max_length=64)]


@router.get("")
async def list_findings(
    request: Request,
    context: Console,
    caller: Visitor,
    kind: KindChosen = "",
    state: StateChosen = "open",
    cursor: Cursor = "",
) -> Response:
    """List what the newest report found, newest first."""
    page = await findings_page(
        context.analytics, caller, kind=kind or None, state=state or None, cursor=cursor or None, limit=_SHOWN
    )
    reconciled_at = await newest_report_moment(context.analytics.database)
    return context.pages.page(
        request,
        "reconciliation.html",
        caller=caller,
        findings=page.findings,
        counts=page.counts,
        kinds=MEANINGS,
        kind=kind,
        state=state,
        reconciled_at=epoch_ms(reconciled_at),
        first_link=_link({"kind": kind, "state": state}) if cursor else None,
        next_link=_link({"kind": kind, "state": state, "cursor": page.next_cursor}) if page.next_cursor else None,
        query=urlencode({"kind": kind, "state": state}),
    )


@router.get("/findings.csv")
async def download_csv(
    context: Console, caller: Visitor, kind: KindChosen = "", state: StateChosen = "open"
) -> Response:
    """Download what the filters show, for spreadsheets."""
    found = await _downloaded(context, caller, kind, state)
    return csv_file("findings.csv", _COLUMNS, (one.model_dump() for one in found))


@router.get("/findings.json")
async def download_json(
    context: Console, caller: Visitor, kind: KindChosen = "", state: StateChosen = "open"
) -> Response:
    """Download what the filters show, for programs."""
    found = await _downloaded(context, caller, kind, state)
    return json_file("findings.json", [one.model_dump(by_alias=True) for one in found])


async def _downloaded(
    context: ConsoleContext, caller: Caller, kind: KindChosen, state: StateChosen
) -> list[FindingBody]:
    # A report keeps fewer than this.
    page = await findings_page(
        context.analytics, caller, kind=kind or None, state=state or None, cursor=None, limit=_DOWNLOADED_MAX
    )
    return page.findings


@router.get("/{finding_id}")
async def show_finding(request: Request, context: Console, caller: Visitor, finding_id: FindingId) -> Response:
    """Show a finding, what was decided about it, and what can be."""
    return await _page(request, context, caller, finding_id)


async def _page(
    request: Request, context: ConsoleContext, caller: Caller, finding_id: str, error: ApiError | None = None
) -> Response:
    found = await finding_seen_by(context.analytics, caller, finding_id)
    return context.pages.page(
        request,
        "finding.html",
        caller=caller,
        status=error.status if error else 200,
        found=found,
        explorer=explorer_link(context.network, found.signature) if found.signature else None,
        problem=error.sentence if error else None,
    )


@router.get("/{finding_id}/code")
async def show_code(context: Console, caller: Visitor, finding_id: FindingId) -> Response:
    """Draw the code that a wallet scans to give the payment back."""
    found = await finding_seen_by(context.analytics, caller, finding_id)
    if found.solana_pay_url is None:
        raise not_found("A payment that can be given back")
    return code_to_scan(found.solana_pay_url)


@router.post("/{finding_id}/accept")
async def accept_finding(request: Request, context: Console, caller: WritingVisitor, finding_id: FindingId) -> Response:
    """Leave what was found as it is."""
    form = await posted_form(request, sent_session(request))
    try:
        await accept(context.analytics, caller, finding_id, order_of(Acceptance, form))
    except ApiError as error:
        return await _refused(request, context, caller, finding_id, error)
    return _lead(finding_id)


@router.post("/{finding_id}/note")
async def note_finding(request: Request, context: Console, caller: WritingVisitor, finding_id: FindingId) -> Response:
    """Write something down about it."""
    form = await posted_form(request, sent_session(request))
    try:
        await write_note(context.analytics, caller, finding_id, order_of(Note, form))
    except ApiError as error:
        return await _refused(request, context, caller, finding_id, error)
    return _lead(finding_id)


@router.post("/{finding_id}/refund")
async def refund_finding(request: Request, context: Console, caller: WritingVisitor, finding_id: FindingId) -> Response:
    """Note the transaction that gave the payment back."""
    form = await posted_form(request, sent_session(request))
    try:
        await refund(context.analytics, caller, finding_id, order_of(Refund, form))
    except ApiError as error:
        return await _refused(request, context, caller, finding_id, error)
    return _lead(finding_id)


@router.post("/{finding_id}/withdraw")
async def withdraw_refund(
    request: Request, context: Console, caller: WritingVisitor, finding_id: FindingId
) -> Response:
    """Withdraw a refund that was noted by mistake."""
    form = await posted_form(request, sent_session(request))
    try:
        await withdraw(context.analytics, caller, finding_id, order_of(Withdrawal, form))
    except ApiError as error:
        return await _refused(request, context, caller, finding_id, error)
    return _lead(finding_id)


async def _refused(
    request: Request, context: ConsoleContext, caller: Caller, finding_id: str, error: ApiError
) -> Response:
    """The page again, with what was wrong with the form; what is not the form's fault stays a refusal."""
    if error.status not in {400, 409}:
        raise error
    return await _page(request, context, caller, finding_id, error)


def _link(parameters: Mapping[str, str]) -> str:
    return f"{_HERE}?{urlencode(parameters)}"


def _lead(finding_id: str) -> Response:
    return RedirectResponse(f"{_HERE}/{finding_id}", 303, PAGE_HEADERS)
