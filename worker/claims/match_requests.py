"""Matches payments with the payment requests that they name, though no payer has claimed them.

A payment names a request by its reference key (Solana Pay) or by its nonce as memo.
"""

import datetime as dt
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import asyncpg
import structlog

from ledger.amounts import least_equal_amount
from ledger.claims import Match, honour_matches
from ledger.judge import Claim, Transfer, judge
from ledger.sql import load_queries
from ledger.tokens import mints_counting_as
from worker.claims.one_each import one_each
from worker.context import WorkerContext

_log = structlog.get_logger(__name__)
_queries = load_queries("worker.claims", "match_requests.sql")

_PAYMENTS_PER_PASS: Final = 5_000


@dataclass(frozen=True, slots=True)
class NamedRequest:
    """The terms of a payment request that a payment names; `amount` is in base units of `mint`.

    Where it funds a job, `client_agent_id` is the client's.
    """

    nonce: str
    recipient: str
    mint: str
    decimals: int
    amount: int
    exact: bool
    client_agent_id: str | None


@dataclass(frozen=True, slots=True)
class NamingPayment:
    """A payment request, and a transfer of the transaction `signature` that names it."""

    request: NamedRequest
    signature: str
    transfer: Transfer


async def match_new_payments(context: WorkerContext) -> int:
    """Look at the payments that are not final yet; returns how many requests are paid by them."""
    return await _match(context, None, None, limit=_PAYMENTS_PER_PASS) or 0


async def match_final_payments(context: WorkerContext, from_at: dt.datetime, until_at: dt.datetime) -> bool:
    """Look at the payments that became final after `from_at` and until `until_at`, which others choose to be few.

    The last look at each, however late it was recorded. False where others were quicker with them again and again, so
    that they must be looked at once more.
    """
    return await _match(context, from_at, until_at, limit=None) is not None


async def _match(
    context: WorkerContext, from_at: dt.datetime | None, until_at: dt.datetime | None, *, limit: int | None
) -> int | None:
    rows = _queries.naming_payments(context.database, from_at=from_at, until_at=until_at, limit=limit)
    payments = [_payment(row) async for row in rows]
    return await _honour(context, sorted(payments, key=_nonce))


async def sweep_requests(context: WorkerContext) -> int:
    """Search the whole ledger for every open request, a page at a time; returns how many are found paid."""
    return sum([await _honour(context, page) or 0 async for page in _pages(context)])


async def _pages(context: WorkerContext) -> AsyncIterator[list[NamingPayment]]:
    after, limit = "", context.settings.page_size
    while True:
        rows = _queries.payments_of_open_requests(
            context.database, after_nonce=after, late_seconds=context.settings.late_seconds, limit=limit
        )
        page = [row async for row in rows]
        yield [_payment(row) for row in page if row["signature"] is not None]
        if len({row["nonce"] for row in page}) < limit:
            return
        after = page[-1]["nonce"]


def _payment(row: Mapping[str, Any]) -> NamingPayment:
    request = NamedRequest(
        nonce=row["nonce"],
        recipient=row["recipient"],
        mint=row["request_mint"],
        decimals=row["decimals"],
        amount=row["amount"],
        exact=row["scheme"] == "exact",
        client_agent_id=row["client_agent_id"],
    )
    transfer = Transfer(
        path=row["path"],
        mint=row["mint"],
        source_owner=row["source_owner"],
        destination_owner=row["destination_owner"],
        authority=row["authority"],
        credited=row["credited"],
        is_final=row["is_final"],
    )
    return NamingPayment(request, row["signature"], transfer)


def _nonce(payment: NamingPayment) -> str:
    return payment.request.nonce


async def _honour(context: WorkerContext, payments: Iterable[NamingPayment]) -> int | None:
    """Give each request one of its payments; `payments` come sorted by nonce, those of one request in ledger order.

    Returns how many, `None` where others were quicker again and again.
    """
    named = [(of_request[0].request, of_request) for of_request in _by_request(payments)]
    # Who asks for most is served first: what is just enough for it would be too much for the others.
    named.sort(key=lambda each: -each[0].amount)
    fitting = {request.nonce: {(one.signature, one.path): one for one in _fitting(naming)} for request, naming in named}
    given = one_each({nonce: list(matches) for nonce, matches in fitting.items()})
    matches = [fitting[nonce][transfer] for nonce, transfer in given.items()]
    return await _give(context, matches) if matches else 0


def _by_request(payments: Iterable[NamingPayment]) -> list[list[NamingPayment]]:
    return [list(of_request) for _, of_request in groupby(payments, key=_nonce)]


async def _give(context: WorkerContext, matches: Sequence[Match]) -> int | None:
    """Give requests their payments; `None` where others were quicker again and again, and none was given."""
    for attempt in (1, 2):
        try:
            return await honour_matches(context.database, matches)
        except asyncpg.UniqueViolationError:
            _log.info("matches_raced", matches=len(matches), attempt=attempt)
    return None


def _fitting(payments: Sequence[NamingPayment]) -> list[Match]:
    """The payments of one request that pay it: earlier transactions first, and the smallest of one transaction."""
    places: dict[str, int] = {}
    for one in payments:
        places.setdefault(one.signature, len(places))
    in_order = sorted(payments, key=lambda one: (places[one.signature], one.transfer.credited, one.transfer.path))
    return [match for one in in_order if (match := _match_of(one)) is not None]


def _match_of(payment: NamingPayment) -> Match | None:
    """The payment as what pays its request; `None` where it does not."""
    payer = payment.transfer.source_owner or payment.transfer.authority
    if payer is None:
        return None
    claim = _claim(payment.request, payer)
    if not judge(claim, [payment.transfer]).is_honoured:
        return None
    return Match(
        payment.request.nonce,
        payment.signature,
        payment.transfer.path,
        payer,
        claim.least_amount,
        payment.request.client_agent_id,
    )


def _claim(request: NamedRequest, payer: str) -> Claim:
    return Claim(
        payer=payer,
        recipients=frozenset({request.recipient}),
        mints=mints_counting_as(request.mint),
        amount=request.amount,
        least_amount=least_equal_amount(request.amount, request.decimals),
        exact=request.exact,
    )
