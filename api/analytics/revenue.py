"""What honoured claims of a window add up to, by token and part of the window."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from api.analytics.windows import Window

_USUAL_CURRENCY: Final = "USDC"
_USUAL_DECIMALS: Final = 6


@dataclass(frozen=True, slots=True)
class Sum:
    """Some honoured claims; `received` is in base units of their token."""

    claims: int = 0
    received: int = 0

    def __add__(self, other: "Sum") -> "Sum":
        return Sum(self.claims + other.claims, self.received + other.received)


@dataclass(slots=True)
class Takings:
    """Sums by currency and part. A currency is a symbol; what has none, or another's, is called by its mint."""

    parts: dict[tuple[str, dt.datetime], Sum] = field(default_factory=dict)
    _tokens: dict[str, tuple[int, list[str]]] = field(default_factory=dict)

    @property
    def currencies(self) -> list[str]:
        """Every currency that was paid, the most often paid first."""
        return sorted(self._tokens, key=lambda name: (-self.total(name)[0].claims, name))

    @property
    def main_currency(self) -> str:
        """The currency that was paid most often."""
        return self.currencies[0] if self._tokens else _USUAL_CURRENCY

    def total(self, currency: str) -> tuple[Sum, int]:
        """The sum of a currency, and its decimals."""
        found = [part for (name, _), part in self.parts.items() if name == currency]
        return sum(found, Sum()), self._tokens.get(currency, (_USUAL_DECIMALS, []))[0]

    def part(self, currency: str, start: dt.datetime) -> Sum:
        """What was paid of a currency in one part of the window."""
        return self.parts.get((currency, start), Sum())

    def mints(self, currency: str) -> list[str]:
        """The mints of a currency: SOL comes native and wrapped."""
        return self._tokens.get(currency, (0, []))[1]

    def add(self, mint: str, symbol: str, decimals: int, start: dt.datetime, paid: Sum) -> None:
        """Count what was paid of a mint in the part that begins at `start`."""
        known = self._tokens.setdefault(symbol, (decimals, []))
        # Amounts of unlike decimals cannot be added in base units.
        name = symbol if known[0] == decimals else mint
        mints = self._tokens.setdefault(name, (decimals, []))[1]
        if mint not in mints:
            mints.append(mint)
        self.parts[name, start] = self.part(name, start) + paid


async def read_takings(connection: Any, queries: Any, span: Window, user_id: str, environment: str | None) -> Takings:
    """The takings of a merchant, or of all of them for an empty `user_id`."""
    wanted = {"user_id": user_id, "environment": environment}
    if span.step is not None:
        rows = queries.revenue_by_step(connection, step=span.step, since=span.start, **wanted)
        found = [(row["at"], row["mint"], Sum(row["claims"], row["received"])) async for row in rows]
    else:
        rows = queries.revenue_by_day(connection, since=span.start.date(), **wanted)
        found = [(row["day"], row["mint"], Sum(row["claims"], row["received"])) async for row in rows]
    tokens = await _tokens(connection, queries, sorted({mint for _, mint, _ in found}))
    takings = Takings()
    for at, mint, paid in found:
        symbol, decimals = tokens.get(mint, (mint, 0))
        takings.add(mint, symbol, decimals, span.part(at), paid)
    return takings


async def read_top_agents(
    connection: Any,
    queries: Any,
    span: Window,
    user_id: str,
    environment: str | None,
    mints: Sequence[str],
    limit: int,
) -> list[Any]:
    """The agents that spent most of `mints` with a merchant, or with all of them for an empty `user_id`."""
    wanted = {"user_id": user_id, "environment": environment, "mints": list(mints), "limit": limit}
    if span.step is not None:
        return [row async for row in queries.agents_by_claim(connection, since=span.start, **wanted)]
    since = span.start.date()
    if span.is_by_month:
        return [row async for row in queries.agents_by_month(connection, since=since, **wanted)]
    return [row async for row in queries.agents_by_day(connection, since=since, **wanted)]


async def _tokens(connection: Any, queries: Any, mints: Sequence[str]) -> Mapping[str, tuple[str, int]]:
    rows = queries.token_figures(connection, mints=list(mints))
    return {row["mint"]: (row["symbol"], row["decimals"]) async for row in rows}
