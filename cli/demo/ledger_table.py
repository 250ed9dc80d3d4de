"""The demo's ledger, as tables for people."""

from collections.abc import Mapping
from typing import Final

import asyncpg
from rich.table import Table

from api.access.key_ring import make_key
from cli.demo.claims import Answered, Receipt, claim_some, verdicts
from cli.demo.recorded import KnownToken, known_tokens, received
from ledger.api_keys import NewApiKey, add_key
from localnet.market import Market

_ROWS_SHOWN: Final = 18


async def ledger_table(pool: asyncpg.Pool, market: Market, rows: int | None = _ROWS_SHOWN) -> Table:
    """The newest `rows` transfers; every one without a number."""
    transfers = await received(pool, market.wallets)
    tokens = await known_tokens(pool)
    names = {wallet: f"shop {number}" for number, wallet in enumerate(market.wallets, 1)}
    table = Table(title=f"The ledger: {len(transfers)} transfers; on chain: {market.expected().total()}")
    for column in ("slot", "signature", "path", "kind", "to", "amount", "fee", "token", "note"):
        table.add_column(column, justify="right" if column in {"slot", "amount", "fee"} else "left")
    for row in transfers if rows is None else transfers[-rows:]:
        symbol, decimals = _token(tokens, row.mint)
        table.add_row(
            str(row.slot),
            f"{row.signature[:8]}…",
            row.path,
            row.kind,
            names[row.destination_owner],
            _amount(row.amount, decimals),
            _amount(row.fee, decimals) if row.fee else "",
            symbol,
            ", ".join(row.memos),
        )
    return table


async def claims_table(
    api_url: str, user: str, pool: asyncpg.Pool, market: Market, receipts: list[Receipt], bought: list[Answered]
) -> Table:
    """What the API verified of the payments, some of which are claimed for it, and what was bought over x402."""
    decimals = {mint: token.decimals for mint, token in (await known_tokens(pool)).items()}
    shops = [recipient.pubkey() for recipient in market.recipients]
    claimed = await claim_some(api_url, await _key_of(pool, user), receipts, shops, decimals)
    return verdicts([*claimed, *bought])


def kinds_table(market: Market) -> Table:
    """How many payments of each kind were paid."""
    table = Table("payments", "sent", title="What was paid")
    for kind, count in market.kinds().items():
        table.add_row(kind, str(count))
    return table


def _token(tokens: Mapping[str, KnownToken], mint: str) -> tuple[str, int]:
    known = tokens.get(mint)
    return (known.symbol or f"{mint[:4]}…", known.decimals) if known else (f"{mint[:4]}…", 0)


def _amount(base_units: int, decimals: int) -> str:
    """Base units with every decimal, so that the points of a column stand below each other."""
    if not decimals:
        return str(base_units)
    digits = str(base_units).rjust(decimals + 1, "0")
    return f"{digits[:-decimals]}.{digits[-decimals:]}"


async def _key_of(pool: asyncpg.Pool, user: str) -> str:
    """A new key of the API, as the shops' owner would make one: it is live, as the shops' wallets are."""
    new = make_key("live")
    async with pool.acquire() as connection:
        await add_key(connection, NewApiKey(new.prefix, new.hash, user, "demo", "live", ["read", "write"]))
    return new.key
