"""What the ledger holds of some wallets: read to be shown, and to be compared with the chain."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ledger.sql import Database, load_queries

_queries: Final = load_queries("cli.demo", "recorded.sql")


@dataclass(frozen=True, slots=True)
class ReceivedTransfer:
    """One transfer of the ledger; amounts are base units, and `credited` is what came to be the receiver's."""

    signature: str
    path: str
    slot: int
    kind: str
    mint: str
    source: str
    destination: str
    destination_owner: str
    amount: int
    fee: int
    credited: int
    memos: list[str]


@dataclass(frozen=True, slots=True)
class KnownToken:
    """A mint that the ledger knows. The symbol is `None` where nobody has named it."""

    symbol: str | None
    decimals: int


async def received(database: Database, wallets: Sequence[str]) -> list[ReceivedTransfer]:
    """Every transfer that the ledger credits to these wallets, oldest first."""
    names = ReceivedTransfer.__slots__
    rows = _queries.received(database, wallets=list(wallets))
    return [ReceivedTransfer(*(row[name] for name in names)) async for row in rows]


async def last_balances(database: Database, wallets: Sequence[str]) -> dict[str, int]:
    """The last balance in base units of each token account of these wallets, by its address."""
    rows = _queries.last_balances(database, wallets=list(wallets))
    return {row["account"]: row["post"] async for row in rows}


async def unexplained_count(database: Database) -> int:
    """How many balance changes no instruction explains."""
    count: int = await _queries.unexplained_count(database)
    return count


async def known_tokens(database: Database) -> dict[str, KnownToken]:
    """Every mint that the ledger knows."""
    return {row["mint"]: KnownToken(row["symbol"], row["decimals"]) async for row in _queries.token_symbols(database)}
