"""Payments as files: every page of a list, one after the other, as it is read."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, Literal

import orjson
from starlette.responses import StreamingResponse

from api.access.caller import Caller
from api.console.downloads import csv_lines, file_headers
from api.payments.bodies import PaymentBody
from api.payments.context import PaymentsContext
from api.payments.transfer_routes import payments_page
from ledger.transfers import TransferFilter

ExportFormat = Literal["csv", "jsonl"]
_MEDIA_TYPES: Final[Mapping[ExportFormat, str]] = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/x-ndjson",
}
_PAGE: Final = 500
_COLUMNS: Final = (
    "blockTime", "signature", "path", "slot", "status", "finality", "payer", "recipient", "currency", "mint", "amount",
    "amountBaseUnits", "feeBaseUnits", "kind", "memos", "claimId", "claimNonce", "claimStatus",
)  # fmt: skip


async def export_payments(
    context: PaymentsContext, caller: Caller, wanted: TransferFilter, kind: ExportFormat
) -> StreamingResponse:
    """The wanted payments to the caller's wallets, newest first, as a file that is written while it is read.

    However many they are, one page is in memory at a time. Where a page cannot be read any more the connection breaks,
    so that nobody takes a part for the whole.
    """
    first = await payments_page(context, caller, wanted, cursor=None, limit=_PAGE)

    async def pages() -> AsyncIterator[Sequence[PaymentBody]]:
        page = first
        while True:
            yield page.payments
            if page.next_cursor is None:
                return
            page = await payments_page(context, caller, wanted, cursor=page.next_cursor, limit=_PAGE)

    return file_of_payments(pages(), kind)


def file_of_payments(pages: AsyncIterator[Sequence[PaymentBody]], kind: ExportFormat) -> StreamingResponse:
    """Pages of payments as one file."""
    lines = _csv if kind == "csv" else _json_lines

    async def content() -> AsyncIterator[bytes]:
        if kind == "csv":
            yield csv_lines([_COLUMNS]).encode()
        async for payments in pages:
            if payments:
                yield lines([_row(payment) for payment in payments])

    return StreamingResponse(content(), headers=file_headers(f"payments.{kind}"), media_type=_MEDIA_TYPES[kind])


def _row(payment: PaymentBody) -> dict[str, Any]:
    claim = payment.claim
    return {
        **payment.model_dump(by_alias=True, exclude={"claim", "amount", "memos"}),
        "amount": format(payment.amount, "f"),
        "memos": list(payment.memos),
        "claimId": None if claim is None else claim.id,
        "claimNonce": None if claim is None else claim.nonce,
        "claimStatus": None if claim is None else claim.status,
    }


def _csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    return csv_lines([_text(row[column]) for column in _COLUMNS] for row in rows).encode()


def _text(value: Any) -> Any:
    """Memos in one cell, so that they can be told apart again; everything else as it is."""
    return (orjson.dumps(value).decode() if value else "") if isinstance(value, list) else value


def _json_lines(rows: Sequence[Mapping[str, Any]]) -> bytes:
    return b"".join(orjson.dumps({column: row[column] for column in _COLUMNS}) + b"\n" for row in rows)
