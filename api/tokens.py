"""The tokens that requests may name, by symbol or mint."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import asyncpg

from api.http.errors import invalid
from ledger.amounts import AmountError, from_base_units, parse_amount, threshold_of, to_base_units
from ledger.tokens import NATIVE_SOL, TokenOfMint, by_symbol, mints_counting_as, tokens_of_network

_REFRESH_SECONDS: Final = 60.0
_RETRY_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True)
class Token:
    """A token, filed by its `mint`."""

    symbol: str
    mint: str
    decimals: int

    @property
    def mints(self) -> frozenset[str]:
        """The mints in which it may be paid, however it was named: SOL comes native and wrapped."""
        return mints_counting_as(self.mint)

    def base_units(self, amount: Decimal | str, name: str = "amount") -> int:
        """`amount`, which is in units of the token, in base units, exactly. Raises ApiError 400 when it is none."""
        try:
            return to_base_units(parse_amount(str(amount)), self.decimals)
        except AmountError as error:
            raise invalid(f"{name} {error}; correct it.", {"field": name}) from None

    def needs_finality(self, amount: int, final_from: Mapping[str, Decimal]) -> bool:
        """True for an amount, in base units, from which on `final_from` demands a finalized payment of this token."""
        above = threshold_of(final_from, self.symbol)
        return above is not None and from_base_units(amount, self.decimals) >= above


class TokenBook:
    """Every token of this network that the ledger knows; read again when it is old or something is not in it."""

    def __init__(self, database: asyncpg.Pool, network: str) -> None:
        self._database = database
        self._network = network
        self._by_symbol: dict[str, Token] = {}
        self._by_mint: dict[str, Token] = {}
        self._read_at = float("-inf")

    async def load(self) -> None:
        """Read the tokens."""
        known = await tokens_of_network(self._database, self._network)
        self._by_symbol = {symbol: _token(one) for symbol, one in by_symbol(known).items()}
        self._by_mint = {one.mint: _token(one) for one in known}
        self._read_at = time.monotonic()

    async def find(self, currency: str | None, mint: str | None) -> Token:
        """The token that a request names. Raises ApiError 400 when it names none that is known."""
        if currency is None and mint is None:
            raise invalid("Neither currency nor mint says which token is meant; send one of them.")
        token = await self._known(currency, mint)
        if token is None:
            known = ", ".join(sorted(symbol for symbol in self._by_symbol if len(symbol) < len(NATIVE_SOL)))
            wrong = {"currency": currency} if mint is None else {"mint": mint}
            raise invalid(f"The token is not known; send one of {known} as currency, or a known mint.", wrong)
        if mint is not None and currency is not None and token.symbol.upper() != _capitals(currency):
            raise invalid("currency and mint name different tokens; send one of them.")
        return token

    async def of_mint(self, mint: str) -> Token | None:
        """The token of a mint that requests may name; `None` where the ledger does not know it."""
        return await self._known(None, mint)

    def listed(self) -> list[Token]:
        """Every token of the network that has a symbol and accounts, which the native coin has not."""
        return [token for token in self._by_mint.values() if token.mint not in {token.symbol, NATIVE_SOL}]

    async def describe(self, mint: str) -> Token:
        """The token of a mint in the ledger; one without a symbol is called by its mint."""
        if (token := self._by_mint.get(mint)) is None:
            await self.load()
            token = self._by_mint.get(mint)
        return token or Token(mint, mint, 0)

    async def _known(self, currency: str | None, mint: str | None) -> Token | None:
        token = self._look_up(currency, mint)
        if token is None or time.monotonic() - self._read_at > _REFRESH_SECONDS:
            # Unknown names must not make every request a query.
            if time.monotonic() - self._read_at > _RETRY_SECONDS:
                await self.load()
            token = self._look_up(currency, mint)
        return token

    def _look_up(self, currency: str | None, mint: str | None) -> Token | None:
        if mint is not None:
            return self._by_mint.get(mint)
        return self._by_symbol.get(_capitals(currency or ""))


def _token(filed: TokenOfMint) -> Token:
    return Token(filed.symbol, filed.mint, filed.decimals)


def _capitals(currency: str) -> str:
    """`currency` in capitals. Letters of other scripts have ours as their capitals and name nothing here."""
    return currency.upper() if currency.isascii() else currency
