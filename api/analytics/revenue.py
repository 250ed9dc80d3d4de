"""What honoured claims of a window add up to, by token and part of the window. This module owns `revenue.sql`.

The functions take a database connection.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from api.analytics.windows import Window
from ledger.sql import DatabaseConnection, load_queries
from ledger.tokens import TokenOfMint, tokens_of_mints

_queries = load_queries("api.analytics", "revenue.sql")

_USUAL_CURRENCY: Final = "USDC"
_USUAL_DECIMALS: Final = 6


@dataclass(frozen=True, slots=True)
class Sum:
    """Some honoured claims; `received` is in base units of their token."""

    claims: int = 0
    received: int = 0

    def __add__(self, other: "Sum") -> "Sum":
        return Sum(self.claims + other.claims, self.received + other.received)


@dataclass(frozen=True, slots=True)
class AgentSum:
    """What an agent spent of a token, in base units, and when it last did."""

    agent_id: str
    agent_name: str
    paid: Sum
    last_at: dt.datetime


@dataclass(slots=True)
class Revenue:
    """Sums by currency and part. A currency is a symbol; what has none, or another's, is called by its mint."""

    parts: dict[tuple[str, dt.datetime], Sum] = field(default_factory=dict)
    _tokens: dict[str, tuple[int, list[str]]] = field(default_factory=dict)

    @property
    def currencies(self) -> list[str]:
        """Every currency that was paid, the most often paid first."""
        return sorted(self._tokens, key=lambda name: (-self.total(name).claims, name))

    @property
    def main_currency(self) -> str:
        """The currency that was paid most often."""
        return self.currencies[0] if self._tokens else _USUAL_CURRENCY

    def total(self, currency: str) -> Sum:
        """The sum of a currency."""
        return sum((part for (name, _), part in self.parts.items() if name == currency), Sum())

    def decimals(self, currency: str) -> int:
        """The decimals of a currency that was paid; those of USDC for one that was not, whose sums are 0."""
        return self._tokens.get(currency, (_USUAL_DECIMALS, []))[0]

    def part(self, currency: str, start: dt.datetime) -> Sum:
        """What was paid of a currency in one part of the window."""
        return self.parts.get((currency, start), Sum())

    def mints(self, currency: str) -> list[str]:
        """The mints of a currency that were paid: SOL comes native and wrapped."""
        return self._tokens.get(currency, (0, []))[1]

    def add(self, paid_in: TokenOfMint, start: dt.datetime, paid: Sum) -> None:
        """Count what was paid of a token in the part that begins at `start`."""
        decimals, _ = self._tokens.setdefault(paid_in.symbol, (paid_in.decimals, []))
        # Amounts of unlike decimals cannot be added in base units.
        name = paid_in.symbol if decimals == paid_in.decimals else paid_in.mint
        mints = self._tokens.setdefault(name, (paid_in.decimals, []))[1]
        if paid_in.mint not in mints:
            mints.append(paid_in.mint)
        self.parts[name, start] = self.part(name, start) + paid


async def read_revenue(
    connection: DatabaseConnection, window: Window, user_id: str | None, environment: str | None
) -> Revenue:
    """The revenue of a merchant, or of all of them for `None`; of live or test keys alone, or of both for `None`."""
    wanted = {"user_id": user_id, "environment": environment}
    if window.step is not None:
        rows = _queries.revenue_by_step(connection, step=window.step, since=window.start, **wanted)
        found = [(row["at"], row["mint"], _sum(row)) async for row in rows]
    else:
        rows = _queries.revenue_by_day(connection, since=window.start.date(), **wanted)
        found = [(row["day"], row["mint"], _sum(row)) async for row in rows]
    tokens = await tokens_of_mints(connection, {mint for _, mint, _ in found})
    revenue = Revenue()
    for at, mint, paid in found:
        revenue.add(tokens[mint], window.part(at), paid)
    return revenue


async def read_top_agents(
    connection: DatabaseConnection,
    window: Window,
    user_id: str | None,
    environment: str | None,
    mints: Sequence[str],
    limit: int,
) -> list[AgentSum]:
    """The agents that spent most of `mints` with a merchant, or with all of them for `None`."""
    wanted = {"user_id": user_id, "environment": environment, "mints": list(mints), "limit": limit}
    if window.step is not None:
        rows = _queries.agents_by_claim(connection, since=window.start, **wanted)
    else:
        rows = _queries.agents_by_totals(connection, since=window.start.date(), by_month=window.is_by_month, **wanted)
    found = [(row["agent_id"], _sum(row), row["last_at"]) async for row in rows]
    named = _queries.agent_names(connection, agent_ids=[agent for agent, _, _ in found])
    names = {row["agent_id"]: row["name"] async for row in named}
    return [AgentSum(agent, names.get(agent, agent), paid, last_at) for agent, paid, last_at in found]


def _sum(row: Mapping[str, Any]) -> Sum:
    return Sum(int(row["claims"]), int(row["received"]))
