"""Payouts of jobs: where one that waits is sent instead."""

import uuid
from typing import Literal

from pydantic import Field
from solders.pubkey import Pubkey
from solders.signature import Signature
from starlette.responses import Response

from api.access.caller import Caller
from api.access.callers import Writer
from api.access.environments import check_may_change
from api.http.errors import conflict, errors, forbidden, invalid, not_found
from api.http.fields import Address, Base58Signature, parse_id
from api.http.json import AnswerShape, Shape, answer
from api.marketplace.context import Marketplace, MarketplaceContext
from api.marketplace.job_body import JobId
from api.routing.route import new_router
from ledger.payout_redirects import REDIRECTABLE, JobPayout, ask_redirect, find_payout, redirect_text

router = new_router(prefix="/marketplace/jobs", tags=["Marketplace"])


class Redirect(Shape):
    """Where a payout that waits is to go."""

    payout_address: Address = Field(description="The wallet that is to be paid")
    signature: Base58Signature | None = Field(
        None,
        description="ed25519 by the payout's present recipient over "
        "`402pay payout {payoutId} to {payoutAddress}`, base58. "
        "An admin needs none, nor does the provider of a release.",
    )


class RedirectBody(AnswerShape):
    """What was asked. The payout shows the new recipient once nothing of it can reach the old one."""

    payout_id: uuid.UUID
    kind: Literal["release", "refund"]
    status: str
    recipient: str
    payout_address: str


@router.post(
    "/{job_id}/payouts/{payout_id}/redirect",
    response_model=RedirectBody,
    status_code=202,
    responses=errors(401, 403, 404, 409),
)
async def post_redirect(
    marketplace: Marketplace,
    job_id: JobId,
    payout_id: JobId,
    caller: Writer,
    wanted: Redirect,
) -> Response:
    """Send a payout that was not signed yet to another wallet; by an admin, the provider, or its recipient."""
    return answer(await redirect_payout(marketplace, caller, job_id, payout_id, wanted), 202)


async def redirect_payout(
    marketplace: MarketplaceContext, caller: Caller, job_id: str, payout_id: str, wanted: Redirect
) -> RedirectBody:
    """Ask that a payout of a job goes to another wallet.

    Raises:
        ApiError: 400 for what is no wallet, 403 for somebody else's money, or for a live job and a test key, 404, or
            409 where it is too late.
    """
    payout = await find_payout(marketplace.database, parse_id(job_id, "The job"), parse_id(payout_id, "The payout"))
    if payout is None:
        raise not_found("The payout")
    check_may_change(caller, payout.environment, "The job of this payout")
    _check_may_redirect(payout, caller, wanted)
    if payout.status not in REDIRECTABLE:
        raise conflict(f"The payout is {payout.status}; only one that was not signed yet is sent elsewhere.")
    address = await marketplace.payee(wanted.payout_address, caller, paid_by=payout.wallet)
    if address == payout.recipient:
        raise conflict("The payout goes to that wallet already; send another one.")
    if not await ask_redirect(marketplace.database, payout, address, asked_by=caller.user_id):
        raise conflict("Another wallet was asked for already; wait until the payout shows it, and ask again.")
    return RedirectBody(
        payout_id=payout.id,
        kind=payout.kind,
        status=payout.status,
        recipient=payout.recipient,
        payout_address=address,
    )


def _check_may_redirect(payout: JobPayout, caller: Caller, wanted: Redirect) -> None:
    """Refuse whoever is not the payee. Raises ApiError 400 or 403."""
    if caller.is_admin or (payout.kind == "release" and payout.provider_user_id == caller.user_id):
        return
    text = redirect_text(payout.id, wanted.payout_address)
    if wanted.signature is None:
        raise forbidden(f"Sending the payout elsewhere takes its recipient's ed25519 signature over {text!r}.")
    try:
        signature, signer = Signature.from_string(wanted.signature), Pubkey.from_string(payout.recipient)
    except ValueError:
        raise invalid("signature must be 64 bytes in base58; correct it.", {"field": "signature"}) from None
    if not signature.verify(signer, text.encode()):
        raise forbidden(f"The signature is not the recipient's over {text!r}; sign exactly that text.")
