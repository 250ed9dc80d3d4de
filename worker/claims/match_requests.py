"""Matches payments with the payment requests that they name, though no payer has claimed them.

A payment names a request by its reference key (Solana Pay) or by its nonce as memo.
"""

from collections.abc import AsyncIterator, Iterable
from itertools import groupby
from typing import Any, Final

from ledger.amounts import least_equal_amount
from ledger.judge import Claim, Transfer, judge
from ledger.tokens import mints_counting_as
from worker.context import WorkerContext

_PAYMENTS_PER_PASS: Final = 5_000


async def match_arrivals(context: WorkerContext) -> int:
    """Look at the payments that are not final yet; returns how many requests are paid by them."""
    rows = [row async for row in context.queries.arrivals_for_requests(context.database, limit=_PAYMENTS_PER_PASS)]
    return await _honour(context, sorted(rows, key=lambda row: row["nonce"]))


async def sweep_requests(context: WorkerContext) -> int:
    """Search the whole ledger for every open request, a page at a time; returns how many are found paid."""
    matched = 0
    async for rows in _pages(context):
        matched += await _honour(context, [row for row in rows if row["signature"] is not None])
    return matched


async def _pages(context: WorkerContext) -> AsyncIterator[list[Any]]:
    after, limit = "", context.settings.page_size
    while True:
        rows = context.queries.payments_of_open_requests(
            context.database, after_nonce=after, late_seconds=context.settings.late_seconds, limit=limit
        )
        page = [row async for row in rows]
        if page:
            yield page
            after = page[-1]["nonce"]
        if len({row["nonce"] for row in page}) < limit:
            return


async def _honour(context: WorkerContext, rows: Iterable[Any]) -> int:
    """Give each request the first of its payments that fits; `rows` come sorted by nonce."""
    grants: list[tuple[str, str, str, str, int, str | None]] = []
    taken: set[tuple[str, str]] = set()
    for nonce, payments in groupby(rows, key=lambda row: row["nonce"]):
        for row in payments:
            place = row["signature"], row["path"]
            payer = row["source_owner"] or row["authority"]
            if payer is None or place in taken:
                continue
            claim = _claim(row, payer)
            if judge(claim, [_transfer(row)]).is_honoured:
                grants.append((nonce, *place, payer, claim.least_amount, row["client_agent_id"]))
                taken.add(place)
                break
    if not grants:
        return 0
    nonces, signatures, paths, payers, least_amounts, agents = map(list, zip(*grants, strict=True))
    honoured = context.queries.honour_requests(
        context.database,
        nonces=nonces,
        signatures=signatures,
        paths=paths,
        payers=payers,
        least_amounts=least_amounts,
        agent_ids=agents,
    )
    return len([row async for row in honoured])


def _claim(row: Any, payer: str) -> Claim:
    mint, amount = row["request_mint"], row["amount"]
    # Of a job's price not a single unit may be missing: the provider is to receive all of it.
    least = amount if row["job_id"] is not None else least_equal_amount(amount, row["decimals"])
    return Claim(
        payer=payer,
        recipients=frozenset({row["recipient"]}),
        mints=mints_counting_as(mint),
        amount=amount,
        least_amount=least,
        exact=row["scheme"] == "exact",
    )


def _transfer(row: Any) -> Transfer:
    return Transfer(
        path=row["path"],
        mint=row["mint"],
        source_owner=row["source_owner"],
        destination_owner=row["destination_owner"],
        authority=row["authority"],
        credited=row["credited"],
        is_final=row["is_final"],
    )
