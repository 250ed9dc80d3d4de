"""Payment requests: a nonce registered for terms, with a key that a transfer can carry."""

import datetime as dt
import secrets
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from ledger.amounts import figure_text
from ledger.sql import load_queries
from ledger.states import ClaimStatus

_queries = load_queries("ledger", "payments.sql")


_NONCE_BYTES: Final = 24
_REFERENCE_BYTES: Final = 32
_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


async def create_request(
    database: Any,
    *,
    user_id: str,
    recipient: str,
    mint: str,
    currency: str,
    amount: int,
    resource: str | None,
    expires_at: dt.datetime,
    exact: bool = False,
    environment: str = "live",
    metadata: Mapping[str, Any] | None = None,
) -> Any:
    """Register a fresh nonce for these terms; `amount` is in base units.

    The reference is 32 random bytes. No secret key of it exists, and nobody can guess it: a transfer that carries it
    was made for this request.
    """
    return await _queries.add_request(
        database,
        nonce=secrets.token_urlsafe(_NONCE_BYTES),
        user_id=user_id,
        recipient=recipient,
        mint=mint,
        currency=currency,
        amount=amount,
        resource=resource,
        scheme="exact" if exact else "minimum",
        metadata=dict(metadata or {}),
        reference=_base58(secrets.token_bytes(_REFERENCE_BYTES)),
        environment=environment,
        expires_at=expires_at,
    )


def request_status(claim_status: str | None, expires_at: dt.datetime) -> str:
    """How a payment request stands: `open`, `pending`, `paid` or `expired`.

    `claim_status` is that of the claim that it was paid by, or else of the last one that says so.
    """
    if claim_status in {ClaimStatus.CONFIRMED, ClaimStatus.FINALIZED}:
        return "paid"
    if claim_status in {ClaimStatus.PENDING, ClaimStatus.REVERSED}:
        return "pending"
    return "expired" if expires_at <= dt.datetime.now(dt.UTC) else "open"


def solana_pay_url(
    *, recipient: str, amount: int, decimals: int, mint: str | None, reference: str, nonce: str, label: str | None
) -> str:
    """The request as wallets read it. Source: the Solana Pay specification, transfer requests.

    `mint` is `None` for native SOL. The nonce travels as memo, so that a wallet without references is matched too.
    """
    fields = {"amount": figure_text(amount, decimals)}
    if mint is not None:
        fields["spl-token"] = mint
    fields |= {"reference": reference, "memo": nonce}
    if label:
        fields["label"] = label
    return f"solana:{recipient}?{urlencode(fields, quote_via=quote)}"


def _base58(raw: bytes) -> str:
    """Base58 of 32 random bytes; a leading zero byte, which would be a leading 1, is as unlikely as it is harmless."""
    number = int.from_bytes(raw, "big")
    digits = ""
    while number:
        number, rest = divmod(number, len(_BASE58))
        digits = _BASE58[rest] + digits
    return "1" * (len(raw) - len(raw.lstrip(b"\0"))) + digits
