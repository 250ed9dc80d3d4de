"""Which mints are which token: one answer for requests, claims, payouts, reports and analytics.

The functions that read take a database connection or pool. SQL asks `mint_counts_as(paid, asked)`, which is the same
rule as `mints_counting_as`.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ledger.sql import Database, load_queries

_queries = load_queries("ledger", "tokens.sql")

NATIVE_SOL: Final = "11111111111111111111111111111111"
"""What is filed as the mint of lamports, which have none: the address of the System program."""

WRAPPED_SOL_MINT: Final = "So11111111111111111111111111111111111111112"
"""The mint of lamports that are held as a token."""


@dataclass(frozen=True, slots=True)
class TokenOfMint:
    """A mint with its decimals; `symbol` is its address where it has no symbol."""

    mint: str
    symbol: str
    decimals: int


def mints_counting_as(mint: str) -> frozenset[str]:
    """The mints in which a payment may come that was asked for in `mint`: SOL comes native and wrapped."""
    return frozenset({NATIVE_SOL, WRAPPED_SOL_MINT}) if mint == NATIVE_SOL else frozenset({mint})


def is_sol(mint: str) -> bool:
    """True for the mints of SOL, native and wrapped, whose base units are lamports."""
    return mint in mints_counting_as(NATIVE_SOL)


def by_symbol(tokens: Iterable[TokenOfMint]) -> dict[str, TokenOfMint]:
    """The tokens by symbol in capitals; of several with one symbol, that as which the others count, as native SOL."""
    found: dict[str, TokenOfMint] = {}
    for token in sorted(tokens, key=lambda one: (len(mints_counting_as(one.mint)), one.mint)):
        found[token.symbol.upper()] = token
    return found


async def tokens_of_network(database: Database, network: str) -> list[TokenOfMint]:
    """Every token that requests of a network may name, those without a symbol included."""
    return [_token(row) async for row in _queries.tokens_of_network(database, network=_network_of_mints(network))]


async def tokens_of_mints(database: Database, mints: Collection[str]) -> dict[str, TokenOfMint]:
    """Tokens by their mints; one that the ledger does not know counts as having no decimals."""
    known = {row["mint"]: _token(row) async for row in _queries.tokens_of_mints(database, mints=list(mints))}
    return {mint: known.get(mint) or TokenOfMint(mint, mint, 0) for mint in mints}


def _network_of_mints(network: str) -> str:
    """The network whose mints are found on `network`: the localnet carries those of devnet."""
    return "devnet" if network == "localnet" else network


def _token(row: Mapping[str, Any]) -> TokenOfMint:
    return TokenOfMint(row["mint"], row["symbol"], row["decimals"])
