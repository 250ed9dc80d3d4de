"""The ledger as its merchants see it: transfers to their wallets, and the claims that took them."""

import base64
import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Final, Literal

from fastapi import Path, Query
from starlette.responses import Response

from api.access.caller import Caller
from api.access.callers import Reader
from api.http.errors import errors, invalid, not_found
from api.http.fields import Address, Base58Signature
from api.http.json import answer
from api.payments.bodies import PaymentBody, PaymentPage, PaymentsOfTransaction, payment_body
from api.payments.context import Payments, PaymentsContext
from api.routing.route import new_router
from ledger.states import Finality
from ledger.transfers import (
    PlaceInList,
    RecordedTransfer,
    TransferFilter,
    page_of_transfers,
    transfers_of_transaction,
)

router = new_router(prefix="/payments", tags=["Payments"])

_LIMIT_MAX: Final = 500
StatusWanted = Literal["pending", "confirmed", "finalized", "failed", "expired", "reversed"]
"""A status of payments; `confirmed` includes what is finalized, and `pending` is what too few nodes have seen.

No transfer is ever failed or expired.
"""
_OF_STATUS: Final[dict[str, tuple[str, ...]]] = {
    "pending": ("pending",),
    "confirmed": ("confirmed", "finalized"),
    "finalized": ("finalized",),
    "reversed": ("orphaned",),
}
# A block's time is the node's estimate, in whole seconds, and missing at times.
_WHEN: Final = "when the ledger recorded the transfer, not its block's time; milliseconds since 1970"


@router.get("", response_model=PaymentPage, responses=errors(401, 403))
async def get_payments(
    context: Payments,
    caller: Reader,
    recipient: Annotated[Address | None, Query()] = None,
    payer: Annotated[Address | None, Query()] = None,
    mint: Annotated[Address | None, Query()] = None,
    status: StatusWanted | None = None,
    finality: Finality | None = None,
    since: Annotated[int | None, Query(ge=0, lt=2**45, description=f"From then on: {_WHEN}")] = None,
    until: Annotated[int | None, Query(ge=0, lt=2**45, description=f"Before then: {_WHEN}")] = None,
    cursor: Annotated[str | None, Query(max_length=400)] = None,
    limit: Annotated[int, Query(ge=1, le=_LIMIT_MAX)] = 50,
) -> Response:
    """List transfers to the caller's wallets, newest first; an admin sees all that are followed."""
    wanted = TransferFilter(
        recipient=recipient,
        payer=payer,
        mint=mint,
        finalities=finalities_wanted(status, finality),
        since=_time(since),
        until=_time(until),
    )
    return answer(await payments_page(context, caller, wanted, cursor=cursor, limit=limit))


async def payments_page(
    context: PaymentsContext, caller: Caller, wanted: TransferFilter, *, cursor: str | None, limit: int
) -> PaymentPage:
    """The wanted transfers to the caller's wallets, or to everybody's for an admin; whose they are is set here.

    Raises:
        ApiError: 400 for a cursor that no such page gave.
    """
    wanted = replace(wanted, user_id=_whose(caller))
    found = await page_of_transfers(context.database, wanted, after=_place(cursor) if cursor else None, limit=limit + 1)
    page = found[:limit]
    is_more = len(found) > limit
    return PaymentPage(payments=await _bodies(context, page), next_cursor=_cursor(page[-1]) if is_more else None)


@router.get("/{signature}", response_model=PaymentsOfTransaction, responses=errors(401, 403, 404))
async def get_transaction(
    context: Payments,
    caller: Reader,
    signature: Annotated[Base58Signature, Path()],
) -> Response:
    """Show one transaction: every transfer of it to the caller's wallets."""
    return answer(await payments_of_transaction(context, caller, signature))


async def payments_of_transaction(context: PaymentsContext, caller: Caller, signature: str) -> PaymentsOfTransaction:
    """The transfers of one transaction that the caller may see. Raises ApiError 404 where there is none."""
    found = await transfers_of_transaction(context.database, signature, user_id=_whose(caller))
    if not found:
        raise not_found("A payment with this signature")
    return PaymentsOfTransaction(signature=signature, payments=await _bodies(context, found))


def _whose(caller: Caller) -> str | None:
    """Whose transfers are asked about; `None` for everybody's."""
    return None if caller.is_admin else caller.user_id


def finalities_wanted(status: StatusWanted | None, finality: Finality | None) -> list[str] | None:
    """What the ledger calls the transfers that two filters ask for; `None` for all of them."""
    if status is None:
        return None if finality is None else [finality]
    return [one for one in _OF_STATUS.get(status, ()) if finality in {None, one}]


async def _bodies(context: PaymentsContext, transfers: Sequence[RecordedTransfer]) -> list[PaymentBody]:
    return [payment_body(one, await context.tokens.describe(one.mint)) for one in transfers]


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
