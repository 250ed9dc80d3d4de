"""The ledger as its merchants see it: transfers to their wallets, and the claims that took them."""

import base64
import datetime as dt
import re
from typing import Annotated, Any, Final, Literal

from fastapi import Depends, Path, Query, Request
from pydantic import Field
from starlette.responses import Response

from api.access.caller import Caller
from api.access.callers import require
from api.http.errors import errors, invalid, not_found
from api.http.fields import Address, Base58Signature, BaseUnitsText, EpochMs, Figure
from api.http.json import Shape, answer, epoch_ms, figure
from api.resources import Resources, resources
from api.routing.route import new_router
from ledger.transfers import (
    PlaceInList,
    RecordedTransfer,
    TransferFilter,
    page_of_transfers,
    transfers_of_transaction,
)

router = new_router(prefix="/payments", tags=["Payments"])

_MAX_LIMIT: Final = 500
# A block's time is the node's estimate, in whole seconds, and missing at times.
_WHEN: Final = "when the ledger recorded the transfer, not its block's time; milliseconds since 1970"


class ClaimBody(Shape):
    """The claim that took a transfer."""

    id: str
    nonce: str
    status: str


class PaymentBody(Shape):
    """One transfer."""

    signature: str
    path: str
    slot: int
    block_time: EpochMs | None = Field(description="The node's estimate")
    kind: str
    payer: str | None
    recipient: str | None
    mint: str
    currency: str
    amount: Figure = Field(description="What was credited")
    amount_base_units: BaseUnitsText
    fee_base_units: BaseUnitsText = Field(description="What the token program withheld")
    status: Literal["confirmed", "finalized", "orphaned"]
    memos: list[str]
    claim: ClaimBody | None


class PaymentsOfTransaction(Shape):
    """Every transfer of one transaction to the caller's wallets."""

    signature: str
    payments: list[PaymentBody]


class PaymentPage(Shape):
    """A page of the ledger, newest first."""

    payments: list[PaymentBody]
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last one")


async def payment(parts: Resources, transfer: RecordedTransfer) -> dict[str, Any]:
    """A transfer as JSON."""
    token = await parts.tokens.describe(transfer.mint)
    claim = None
    if transfer.claim is not None:
        claim = {"id": str(transfer.claim.id), "nonce": transfer.claim.nonce, "status": transfer.claim.status}
    return {
        "signature": transfer.signature,
        "path": transfer.path,
        "slot": transfer.slot,
        "blockTime": epoch_ms(transfer.block_time),
        "kind": transfer.kind,
        "payer": transfer.payer,
        "recipient": transfer.recipient,
        "mint": transfer.mint,
        "currency": token.symbol,
        "amount": figure(transfer.credited, token.decimals),
        "amountBaseUnits": str(transfer.credited),
        "feeBaseUnits": str(transfer.fee),
        "status": transfer.finality,
        "memos": transfer.memos,
        "claim": claim,
    }


@router.get("", response_model=PaymentPage, responses=errors(401, 403))
async def get_payments(
    request: Request,
    caller: Annotated[Caller, Depends(require("read"))],
    recipient: Annotated[Address | None, Query()] = None,
    payer: Annotated[Address | None, Query()] = None,
    mint: Annotated[Address | None, Query()] = None,
    status: Literal["confirmed", "finalized", "orphaned"] | None = None,
    since: Annotated[int | None, Query(ge=0, lt=2**45, description=f"From then on: {_WHEN}")] = None,
    until: Annotated[int | None, Query(ge=0, lt=2**45, description=f"Before then: {_WHEN}")] = None,
    cursor: Annotated[str | None, Query(max_length=400)] = None,
    limit: Annotated[int, Query(ge=1, le=_MAX_LIMIT)] = 50,
) -> Response:
    """List transfers to the caller's wallets, newest first; an admin sees all that are followed."""
    parts = resources(request)
    wanted = TransferFilter(
        user_id=None if caller.is_admin else caller.user_id,
        recipient=recipient,
        payer=payer,
        mint=mint,
        finality=status,
        since=_time(since),
        until=_time(until),
    )
    found = await page_of_transfers(parts.database, wanted, after=_place(cursor) if cursor else None, limit=limit + 1)
    page = found[:limit]
    is_more = len(found) > limit
    return answer(
        {
            "payments": [await payment(parts, transfer) for transfer in page],
            "nextCursor": _cursor(page[-1]) if is_more else None,
        }
    )


@router.get("/{signature}", response_model=PaymentsOfTransaction, responses=errors(401, 403, 404))
async def get_transaction(
    request: Request,
    caller: Annotated[Caller, Depends(require("read"))],
    signature: Annotated[Base58Signature, Path()],
) -> Response:
    """Show every indexed transfer of one transaction to the caller's wallets."""
    parts = resources(request)
    found = await transfers_of_transaction(
        parts.database, signature, user_id=None if caller.is_admin else caller.user_id
    )
    if not found:
        raise not_found("A payment with this signature")
    return answer({"signature": signature, "payments": [await payment(parts, one) for one in found]})


def _cursor(last: RecordedTransfer) -> str:
    return base64.urlsafe_b64encode(f"{last.slot}/{last.signature}/{last.path}".encode()).decode().rstrip("=")


def _place(cursor: str) -> PlaceInList:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except ValueError:
        text = ""
    found = re.fullmatch(r"(\d{1,18})/([1-9A-HJ-NP-Za-km-z]{64,88})/([\d.]+)", text)
    if found is None:
        raise invalid("cursor is not one that this list gave; start without it.", {"field": "cursor"})
    slot, signature, path = found.groups()
    return PlaceInList(int(slot), signature, path)


def _time(milliseconds: int | None) -> dt.datetime | None:
    return None if milliseconds is None else dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)
