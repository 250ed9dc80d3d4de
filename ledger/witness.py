"""Payments that too few nodes have seen to be honoured, and what other nodes say of them.

The functions take a database connection or pool. What changes is written by ledger.finality, which owns how sure a
landing is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from ledger.finality import Landing
from ledger.sql import Database, load_queries

_queries = load_queries("ledger", "witness.sql")


MOVEMENT_FIELDS: Final = (
    "path", "kind", "program", "mint", "source", "destination", "source_owner", "destination_owner", "authority",
    "amount",
)  # fmt: skip
"""What two nodes have to show alike of a movement; columns of `transfers` and fields of `Movement`."""


@dataclass(frozen=True, slots=True)
class WitnessState:
    """How many transfers wait for a witness, how many of them are contradicted, and how long the oldest has waited."""

    awaiting: int
    contested: int
    oldest_seconds: float


async def awaiting_witness(database: Database, limit: int) -> list[Landing]:
    """Landings that too few nodes have seen, the newest first."""
    return [Landing(row["signature"], row["slot"]) async for row in _queries.awaiting_witness(database, limit=limit)]


@dataclass(slots=True)
class RecordedContent:
    """What is recorded of a landing.

    Attributes:
        movements: Each with path, kind, program, mint, source, destination, their owners, authority and amount.
        references: Of each movement, by its path.
        memos: Of the transaction.
        balances: Of each followed account before and after, with its mint.
    """

    movements: set[tuple[object, ...]] = field(default_factory=set)
    references: dict[str, frozenset[str]] = field(default_factory=dict)
    memos: tuple[str, ...] = ()
    balances: set[tuple[str, str, int, int]] = field(default_factory=set)


async def large_among(database: Database, landings: Sequence[Landing], above: Mapping[str, Decimal]) -> list[Landing]:
    """Those that move as much of a token as `above` says, by symbol and figure, to a followed wallet."""
    if not above or not landings:
        return []
    rows = _queries.large_among(
        database, **_columns(landings), symbols=list(above), thresholds=[str(threshold) for threshold in above.values()]
    )
    large = {row["signature"] async for row in rows}
    return [landing for landing in landings if landing.signature in large]


async def recorded_content(database: Database, landings: Sequence[Landing]) -> dict[str, RecordedContent]:
    """What is recorded of each of these landings, by signature."""
    found: dict[str, RecordedContent] = {landing.signature: RecordedContent() for landing in landings}
    async for row in _queries.recorded_transfers(database, **_columns(landings)):
        content = found[row["signature"]]
        content.movements.add(tuple(row[name] for name in MOVEMENT_FIELDS))
        content.references[row["path"]] = frozenset(row["reference_keys"])
        content.memos = tuple(row["memos"])
    async for row in _queries.recorded_balances(database, **_columns(landings)):
        found[row["signature"]].balances.add((row["account"], row["mint"], row["pre"], row["post"]))
    return found


def _columns(landings: Sequence[Landing]) -> dict[str, list[Any]]:
    return {"signatures": [one.signature for one in landings], "slots": [one.slot for one in landings]}


async def witness_state(database: Database) -> WitnessState:
    """How things stand with what waits for a witness."""
    row = await _queries.witness_state(database)
    return WitnessState(row["awaiting"], row["contested"], row["oldest_seconds"])
