"""Finding a payment by whatever one has in hand: a signature, a wallet, a nonce, an amount, a memo.

This module owns `search.sql`. It says only which transactions may be meant; what of them the caller may see is decided
where payments are shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from api.access.caller import Caller
from api.http.errors import ApiError
from api.payments.context import PaymentsContext
from api.payments.request_routes import standing_of_request
from api.tokens import Token
from chain.addresses import is_signature, parse_address
from ledger.amounts import AmountError, parse_amount, to_base_units, ungrouped
from ledger.recipients import recipients_of
from ledger.sql import load_queries

_queries = load_queries("api.console", "search.sql")

FOUND_MAX: Final = 25
LOOKED_THROUGH: Final = 5_000
"""An amount is looked for among so many transfers, the newest of each wallet, equally many of each."""
_WALLETS_MAX: Final = 50


@dataclass(frozen=True, slots=True)
class Found:
    """What a search leads to: one of these.

    Attributes:
        signature: The transaction that is meant.
        nonce: The payment request that is meant.
        recipient: The wallet whose income is meant.
        payer: The wallet whose payments are meant.
        signatures: The transactions that have the memo or the amount, the newest first.
    """

    signature: str | None = None
    nonce: str | None = None
    recipient: str | None = None
    payer: str | None = None
    signatures: Sequence[str] = ()


async def find(context: PaymentsContext, caller: Caller, text: str) -> Found:
    """What the caller means by `text`, among what it may see."""
    whose = None if caller.is_admin else caller.user_id
    if is_signature(text):
        return Found(signature=text)
    if parse_address(text) == text:
        own = {one.recipient.address for one in await recipients_of(context.database, whose)}
        return Found(recipient=text) if text in own else Found(payer=text)
    try:
        return Found(nonce=(await standing_of_request(context, caller, text)).nonce)
    except ApiError:
        pass  # it is the nonce of no request of theirs
    row = await _queries.signature_of_nonce(context.database, nonce=text, user_id=whose)
    if row is not None:
        return Found(signature=row["signature"])
    signatures = [
        *await _of_memo(context, whose, text),
        *await _of_amount(context, whose, text),
    ]
    return Found(signatures=list(dict.fromkeys(signatures))[:FOUND_MAX])


async def _of_memo(context: PaymentsContext, whose: str | None, text: str) -> list[str]:
    rows = _queries.signatures_of_memo(context.database, memo=text, user_id=whose, limit=FOUND_MAX)
    return [row["signature"] async for row in rows]


async def _of_amount(context: PaymentsContext, whose: str | None, text: str) -> list[str]:
    """Those of an amount, which may be followed by the symbol of its token."""
    written, _, symbol = text.partition(" ")
    wanted = [(token.mint, units) for token in _tokens(context, symbol) if (units := _units(written, token))]
    if not wanted:
        return []
    wallets = await _queries.count_wallets(context.database, user_id=whose, wallets_max=_WALLETS_MAX)
    rows = _queries.signatures_of_amount(
        context.database,
        user_id=whose,
        mints=[mint for mint, _ in wanted],
        amounts=[units for _, units in wanted],
        wallets_max=_WALLETS_MAX,
        looked_through=LOOKED_THROUGH // max(1, wallets),
        limit=FOUND_MAX,
    )
    return [row["signature"] async for row in rows]


def _tokens(context: PaymentsContext, symbol: str) -> list[Token]:
    return [token for token in context.tokens.listed() if not symbol or token.symbol.upper() == symbol.upper()]


def _units(written: str, token: Token) -> int | None:
    try:
        return to_base_units(parse_amount(ungrouped(written)), token.decimals)
    except AmountError:
        return None
