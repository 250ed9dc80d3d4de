"""Findings of the newest reconciliation, and deciding about them: accept, note that it was given back, write a note."""

import base64
import re
from typing import Annotated, Final

from fastapi import Path, Query
from starlette.responses import Response

from api.access.caller import Caller
from api.access.callers import Reader, Writer
from api.access.environments import check_may_change
from api.analytics.context import Analytics, AnalyticsContext
from api.analytics.finding_bodies import (
    REFUND_EFFECT,
    Acceptance,
    DecisionBody,
    FindingBody,
    FindingCountBody,
    FindingDetail,
    FindingKind,
    FindingsPage,
    Note,
    PayoutBackBody,
    Refund,
    TransferBackBody,
    Withdrawal,
    finding_fields,
    refund_url,
)
from api.http.errors import conflict, errors, invalid, not_found
from api.http.json import answer, exact_amount
from api.routing.route import KNOWN_PARAMETERS_ONLY, new_router
from api.tokens import Token
from ledger.findings import (
    Finding,
    FindingDecision,
    FindingFilter,
    FindingState,
    PlaceAmongFindings,
    accept_finding,
    count_findings,
    decisions_of,
    find_finding,
    note_finding,
    note_refund,
    page_of_findings,
    payouts_back,
    transfers_back,
    withdraw_refund,
)
from ledger.recipients import find_recipient
from ledger.times import epoch_ms

router = new_router("/analytics/reconciliation/findings", ["Analytics"], dependencies=[KNOWN_PARAMETERS_ONLY])

_LIMIT_MAX: Final = 500
FindingId = Annotated[str, Path(max_length=64)]


@router.get("", response_model=FindingsPage, responses=errors(401, 403))
async def get_findings(
    context: Analytics,
    caller: Reader,
    kind: FindingKind | None = None,
    state: FindingState | None = None,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=_LIMIT_MAX)] = 50,
) -> Response:
    """List the findings of the newest report, newest first; a caller who is no admin sees its own."""
    return answer(await findings_page(context, caller, kind=kind, state=state, cursor=cursor, limit=limit))


async def findings_page(
    context: AnalyticsContext,
    caller: Caller,
    *,
    kind: FindingKind | None,
    state: FindingState | None,
    cursor: str | None,
    limit: int,
) -> FindingsPage:
    """A page of the findings that the caller may see, newest first.

    Raises:
        ApiError: 400 for a cursor that no such page gave.
    """
    whose = _whose(caller)
    found = await page_of_findings(
        context.database, FindingFilter(whose, kind, state), after=_place(cursor) if cursor else None, limit=limit + 1
    )
    page = found[:limit]
    return FindingsPage(
        findings=[FindingBody(**finding_fields(one, await context.tokens.describe(one.mint))) for one in page],
        next_cursor=_cursor(page[-1]) if len(found) > limit else None,
        counts=await finding_counts(context, caller),
    )


async def finding_counts(context: AnalyticsContext, caller: Caller) -> dict[str, FindingCountBody]:
    """How many findings there are for the caller, by kind; empty where nothing was reconciled yet."""
    counts = await count_findings(context.database, _whose(caller))
    return {
        one.kind: FindingCountBody(found=one.counted if caller.is_admin else one.kept, open=one.open) for one in counts
    }


@router.get("/{finding_id}", response_model=FindingDetail, responses=errors(401, 403, 404))
async def get_finding(context: Analytics, caller: Reader, finding_id: FindingId) -> Response:
    """Show a finding: what was decided about it, and how to give back what can be."""
    return answer(await finding_seen_by(context, caller, finding_id))


async def finding_seen_by(context: AnalyticsContext, caller: Caller, finding_id: str) -> FindingDetail:
    """A finding that the caller may see. Raises ApiError 404 where there is none."""
    found = await _find(context, caller, finding_id)
    token = await context.tokens.describe(found.mint)
    returned = await payouts_back(context.database, found)
    may_be_given_back = found.refundable > found.refunded and not returned
    seen = await transfers_back(context.database, found) if may_be_given_back else []
    decisions = await decisions_of(context.database, found)
    return FindingDetail(
        **finding_fields(found, token),
        decisions=[_decision(one, token) for one in decisions],
        refund_effect=REFUND_EFFECT if any(one.action == "refunded" for one in decisions) else None,
        transfers_back=[
            TransferBackBody(
                signature=one.signature,
                path=one.path,
                amount=exact_amount(one.amount, token.decimals),
                amount_base_units=str(one.amount),
                is_final=one.finality == "finalized",
            )
            for one in seen
        ],
        payouts_back=[
            PayoutBackBody(
                payout_id=one.id,
                job_id=one.job_id,
                status=one.status,
                amount=exact_amount(one.amount, token.decimals),
                amount_base_units=str(one.amount),
                signature=one.settled_signature,
            )
            for one in returned
        ],
        solana_pay_url=refund_url(found, token) if may_be_given_back else None,
    )


@router.post("/{finding_id}/accept", response_model=FindingDetail, responses=errors(401, 403, 404, 409))
async def post_acceptance(context: Analytics, caller: Writer, finding_id: FindingId, body: Acceptance) -> Response:
    """Leave what was found as it is. Once; repeated, it is answered with what was decided."""
    return answer(await accept(context, caller, finding_id, body))


async def accept(context: AnalyticsContext, caller: Caller, finding_id: str, body: Acceptance) -> FindingDetail:
    """Accept a finding of the caller's. Raises ApiError 404, or 409 for one that was given back."""
    found = await _find_to_decide(context, caller, finding_id)
    if found.state == "refunded":
        raise conflict("All of it was given back, so there is nothing to accept; write a note instead.")
    if not await accept_finding(context.database, found, note=body.note, by=caller.user_id):
        found = await _find(context, caller, finding_id)
        if found.state == "open":
            raise conflict("So much was written about this finding that no more is kept; nothing was changed.")
    return await finding_seen_by(context, caller, finding_id)


@router.post("/{finding_id}/note", response_model=FindingDetail, responses=errors(401, 403, 404, 409))
async def post_note(context: Analytics, caller: Writer, finding_id: FindingId, body: Note) -> Response:
    """Write something down about a finding; the same text twice is one note."""
    return answer(await write_note(context, caller, finding_id, body))


async def write_note(context: AnalyticsContext, caller: Caller, finding_id: str, body: Note) -> FindingDetail:
    """Note something about a finding of the caller's. Raises ApiError 404, or 409 where no more notes are kept."""
    found = await _find_to_decide(context, caller, finding_id)
    is_new = await note_finding(context.database, found, note=body.note, by=caller.user_id)
    seen = await finding_seen_by(context, caller, finding_id)
    if not is_new and not any(one.action == "noted" and one.note == body.note for one in seen.decisions):
        raise conflict("So much was written about this finding that no more is kept; nothing was changed.")
    return seen


@router.post("/{finding_id}/refund", response_model=FindingDetail, responses=errors(401, 403, 404, 409))
async def post_refund(context: Analytics, caller: Writer, finding_id: FindingId, body: Refund) -> Response:
    """Note the transaction that gave the payment back. No money moves by this: a wallet's owner alone can send it.

    The transaction has to be final, and to pay the payer from the wallet that was paid, in the same token. Whole or in
    part, what was given back pays for nothing any more.
    """
    return answer(await refund(context, caller, finding_id, body))


async def refund(context: AnalyticsContext, caller: Caller, finding_id: str, body: Refund) -> FindingDetail:
    """Note what gave a payment back. Raises ApiError 404, or 409 where the ledger does not show that it did."""
    found = await _find_to_decide(context, caller, finding_id)
    if await payouts_back(context.database, found):
        raise conflict("The worker returns this payment by itself; look at the job that it was for.")
    if found.refundable == 0:
        raise conflict("There is nothing to give back: no payment with a known payer came in; write a note instead.")
    async with context.database.acquire() as connection:
        is_noted = await note_refund(connection, found, body.signature, note=body.note, by=caller.user_id)
    if not is_noted:
        seen = await finding_seen_by(context, caller, finding_id)
        if any(one.action == "refunded" and one.refund_signature == body.signature for one in seen.decisions):
            return seen
        raise conflict(
            f"The ledger has no final transfer in this transaction that gives {token_text(seen)} back: later, from "
            f"{seen.recipient} to {seen.payer}, and for nothing else. Wait until it is final, or write a note instead."
        )
    return await finding_seen_by(context, caller, finding_id)


@router.post("/{finding_id}/refund/withdraw", response_model=FindingDetail, responses=errors(401, 403, 404, 409))
async def post_withdrawal(context: Analytics, caller: Writer, finding_id: FindingId, body: Withdrawal) -> Response:
    """Withdraw a refund that was noted by mistake: the payment can be claimed again. Repeated, it changes nothing."""
    return answer(await withdraw(context, caller, finding_id, body))


async def withdraw(context: AnalyticsContext, caller: Caller, finding_id: str, body: Withdrawal) -> FindingDetail:
    """Withdraw a refund that was noted. Raises ApiError 404, or 409 where none is noted or it decided more."""
    found = await _find_to_decide(context, caller, finding_id)
    async with context.database.acquire() as connection:
        outcome = await withdraw_refund(connection, found, body.signature, by=caller.user_id)
    if outcome == "final":
        raise conflict("A payment over x402 has failed by this refund, which its buyer knows; write a note instead.")
    seen = await finding_seen_by(context, caller, finding_id)
    if outcome == "unknown" and not any(
        one.action == "withdrawn" and one.refund_signature == body.signature for one in seen.decisions
    ):
        raise conflict("No refund by this transaction is noted here; look at the decisions of this finding.")
    return seen


def token_text(seen: FindingBody) -> str:
    """The token of a finding, in words."""
    return seen.currency if len(seen.currency) < len(seen.mint) else f"the token {seen.mint}"


async def _find(context: AnalyticsContext, caller: Caller, finding_id: str) -> Finding:
    found = await find_finding(context.database, finding_id, _whose(caller)) if "\0" not in finding_id else None
    if found is None:
        raise not_found("The finding")
    return found


async def _find_to_decide(context: AnalyticsContext, caller: Caller, finding_id: str) -> Finding:
    """A finding that the caller may decide about. Raises ApiError 404, or 403 for a test key and a live wallet."""
    found = await _find(context, caller, finding_id)
    wallet = await find_recipient(context.database, found.recipient) if found.recipient else None
    check_may_change(caller, wallet.environment if wallet else None, "The wallet of this finding")
    return found


def _whose(caller: Caller) -> str | None:
    """Whose findings are asked about; `None` for everybody's."""
    return None if caller.is_admin else caller.user_id


def _decision(one: FindingDecision, token: Token) -> DecisionBody:
    amount = one.refund_amount
    return DecisionBody(
        action=one.action,
        note=one.note,
        decided_by=one.decided_by,
        at=epoch_ms(one.decided_at),
        refund_signature=one.refund_signature,
        refund=None if amount is None else exact_amount(amount, token.decimals),
        refund_base_units=None if amount is None else str(amount),
        withdrawn_by=one.withdrawn_by,
        withdrawn_at=None if one.withdrawn_at is None else epoch_ms(one.withdrawn_at),
    )


def _cursor(last: Finding) -> str:
    return base64.urlsafe_b64encode(f"{last.at}/{last.id}".encode()).decode().rstrip("=")


def _place(cursor: str) -> PlaceAmongFindings:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except ValueError:
        text = ""
    if (found := re.fullmatch(r"([0-9]{1,16})/([0-9a-f]{32})", text)) is None:
        raise invalid("cursor is not one that this list gave; start without it.", {"field": "cursor"})
    return PlaceAmongFindings(int(found[1]), found[2])
