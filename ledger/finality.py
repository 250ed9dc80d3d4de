"""From confirmed to finalized, or to orphaned: how the fate of recorded landings is written down.

The functions take a database connection or pool.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from ledger.sql import Database, load_queries

_queries = load_queries("ledger", "finality.sql")


class Landing(NamedTuple):
    """A transaction in the slot where it landed."""

    signature: str
    slot: int


async def anything_unfinalized(database: Database) -> bool:
    """True when there is a landing whose fate is not settled."""
    return bool(await _queries.anything_unfinalized(database))


async def unfinalized(database: Database, slot: int, limit: int, *, impossible_slot: int) -> list[Landing]:
    """Landings up to `slot`, or at `impossible_slot` or later, whose fate is not settled, oldest first."""
    rows = _queries.unfinalized(database, slot=slot, limit=limit, impossible_slot=impossible_slot)
    return [Landing(row["signature"], row["slot"]) async for row in rows]


async def witnessed(database: Database, landings: Sequence[Landing]) -> int:
    """Record that enough nodes have seen these; returns of how many transactions it was news."""
    return int(await _queries.witnessed(database, **_columns(landings)))


async def contest(database: Database, landings: Sequence[Landing]) -> int:
    """Record that another node contradicts these; returns of how many transfers it was news."""
    return int(await _queries.contest(database, **_columns(landings)))


async def finalize(database: Database, landings: Sequence[Landing]) -> int:
    """Record that these are rooted and can never be undone; returns how many transfers they hold."""
    return int((await _queries.finalize(database, **_columns(landings)))["transfers"])


async def note_vanished(database: Database, landings: Sequence[Landing], height: int, *, lifetime_blocks: int) -> None:
    """Remember at which block height `landings` were first missed.

    A height that is a lifetime of blocks above `height` was made up, and is corrected. A lower one is no news: one node
    may be behind another, and nothing is dead sooner for that.
    """
    await _queries.note_vanished(database, height=height, lifetime_blocks=lifetime_blocks, **_columns(landings))


async def dead(database: Database, signatures: Sequence[str], *, lifetime_blocks: int, height: int) -> list[Landing]:
    """Of these, the ones missing for so long that their blockhash cannot land them any more."""
    rows = _queries.dead(database, signatures=list(signatures), lifetime=lifetime_blocks, height=height)
    return [Landing(row["signature"], row["slot"]) async for row in rows]


async def orphan(database: Database, landings: Sequence[Landing]) -> int:
    """Undo what these did, for they will never land; returns how many transfers they held."""
    return int((await _queries.orphan(database, **_columns(landings)))["transfers"])


def _columns(landings: Sequence[Landing]) -> dict[str, list[Any]]:
    return {
        "signatures": [landing.signature for landing in landings],
        "slots": [landing.slot for landing in landings],
    }
