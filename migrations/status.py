"""Where a database's schema stands; read without alembic, for every process asks at start."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from migrations.revisions import known_revisions
from runtime.connection_string import place
from runtime.database import READ_ONLY, open_connection
from runtime.errors import OperatorError

if TYPE_CHECKING:
    import asyncpg


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    """The revision of a database's schema beside those this installation knows.

    Attributes:
        current: The revision in the database; None when it holds no schema of ours.
        known: Every revision of this installation, oldest first.
    """

    current: str | None
    known: tuple[str, ...]

    @property
    def head(self) -> str:
        """The newest revision of this installation."""
        return self.known[-1]

    @property
    def pending(self) -> tuple[str, ...]:
        """Revisions still to be applied, in order."""
        if self.current is None:
            return self.known
        return self.known[self.known.index(self.current) + 1 :] if self.current in self.known else ()

    @property
    def is_current(self) -> bool:
        """True when the database is where this installation needs it."""
        return self.current == self.head

    @property
    def is_unknown(self) -> bool:
        """True when the database was migrated by a newer installation."""
        return self.current is not None and self.current not in self.known


async def status(dsn: str) -> MigrationStatus:
    """Where the database at `dsn` stands. Raises OperatorError when it cannot be reached."""
    async with open_connection(dsn, application="migrate") as connection:
        return await read_status(connection)


async def read_status(
    connection: "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any]",
) -> MigrationStatus:
    """Where the database of `connection` stands."""
    current = None
    if await connection.fetchval("SELECT to_regclass('alembic_version')"):
        current = await connection.fetchval("SELECT version_num FROM alembic_version")
    return MigrationStatus(current, known_revisions())


async def check_current(
    database: "str | asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any]",
) -> None:
    """Make sure that a process and its database speak of the same schema.

    Args:
        database: An open connection; or a DSN, whose database must also take writes.

    Raises:
        OperatorError: They do not, and the sentence says which of the two is behind; or the database is read-only.
    """
    if isinstance(database, str):
        async with open_connection(database, application="migrate") as connection:
            found = await read_status(connection)
            if found.is_current:
                await _refuse_if_read_only(connection, database)
    else:
        found = await read_status(database)
    if found.is_current:
        return
    if found.is_unknown:
        raise OperatorError(
            f"The schema is at {found.current} but this version knows only up to {found.head}; "
            "install the newer pay402 that migrated it."
        )
    where = f"at {found.current}" if found.current else "missing"
    raise OperatorError(f"The schema is {where} but this version needs {found.head}; run pay402 migrate up.")


async def _refuse_if_read_only(connection: "asyncpg.Connection[Any]", dsn: str) -> None:
    if await connection.fetchval("SELECT current_setting('transaction_read_only')") == "on":
        raise OperatorError(READ_ONLY.format(place=place(dsn)))
