"""Payments that too few nodes have seen to be honoured, and what other nodes say of them.

The functions take a database connection or pool. What changes is written by ledger.finality, which owns how sure a
landing is.
"""

from dataclasses import dataclass
from typing import Any

from ledger.finality import Landing
from ledger.sql import load_queries

_queries = load_queries("ledger", "witness.sql")


@dataclass(frozen=True, slots=True)
class WitnessState:
    """How many transfers wait for a witness, how many of them are contradicted, and how long the oldest has waited."""

    awaiting: int
    contested: int
    oldest_seconds: float


async def awaiting_witness(database: Any, limit: int) -> list[Landing]:
    """Landings that too few nodes have seen, the newest first."""
    return [Landing(row["signature"], row["slot"]) async for row in _queries.awaiting_witness(database, limit=limit)]


async def witness_state(database: Any) -> WitnessState:
    """How things stand with what waits for a witness."""
    row = await _queries.witness_state(database)
    return WitnessState(row["awaiting"], row["contested"], row["oldest_seconds"])
