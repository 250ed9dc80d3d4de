"""Signs of life of the processes: who was heard of when, and how far its ledger is behind.

The functions take a database connection or pool.
"""

from dataclasses import dataclass

from ledger.sql import Database, from_row, load_queries

_queries = load_queries("ledger", "heartbeats.sql")


@dataclass(frozen=True, slots=True)
class SignOfLife:
    """The liveliest process of a role: when it was last heard of, and its lag where it follows the chain.

    `accounts_waiting` counts empty token accounts of strangers that it does not follow until they are paid.
    """

    role: str
    age_seconds: float
    lag_slots: int | None
    accounts_waiting: int


async def signs_of_life(database: Database) -> dict[str, SignOfLife]:
    """The liveliest process of each role that was ever heard of, by role."""
    return {row["role"]: from_row(SignOfLife, row) async for row in _queries.signs_of_life(database)}


async def beat(
    database: Database,
    role: str,
    instance: str,
    *,
    seen_slot: int | None = None,
    recorded_slot: int | None = None,
    accounts_waiting: int = 0,
) -> None:
    """Note that a process is alive, with the newest slot it saw and the newest it recorded where it follows a chain."""
    await _queries.beat(
        database,
        role=role,
        instance=instance,
        seen_slot=seen_slot,
        recorded_slot=recorded_slot,
        accounts_waiting=accounts_waiting,
    )


async def stop_beating(database: Database, role: str, instance: str) -> None:
    """Forget a process that has ended well, so that nobody counts on it."""
    await _queries.stop_beating(database, role=role, instance=instance)
