"""The schema in versions, up and down; any number of replicas may run this at once.

Alembic orders the versions; each is two plain SQL files. A session-wide advisory lock lets one runner work
while the others wait, then find nothing left to do.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import ResolutionError
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from pay402.runtime.database import reached
from pay402.runtime.errors import OperatorError

# Any constant will do, as long as nothing else in the database takes the same lock.
_LOCK: Final = 402_402_402
_WAIT_FOR_OTHERS: Final = "10min"


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    """Where a database stands: `current` is `None` when it is empty, `pending` is oldest first."""

    current: str | None
    head: str
    pending: tuple[str, ...]
    known: bool

    @property
    def is_current(self) -> bool:
        """True when there is nothing to do."""
        return self.current == self.head


async def upgrade(dsn: str, target: str = "head") -> MigrationStatus:
    """Bring the schema up to `target`. Raises OperatorError when it cannot be."""
    return await _locked(dsn, lambda config: command.upgrade(config, target))


async def downgrade(dsn: str, target: str = "-1") -> MigrationStatus:
    """Take the schema down to `target`: a version, `-1` for one step, or `base`. Its data is lost."""
    return await _locked(dsn, lambda config: command.downgrade(config, target))


async def status(dsn: str) -> MigrationStatus:
    """Where the database stands."""
    async with _connection(dsn) as connection:
        return await connection.run_sync(_status)


async def check_current(dsn: str) -> None:
    """Refuse to work on a schema that this version was not made for. Raises OperatorError."""
    found = await status(dsn)
    if found.is_current:
        return
    if not found.known:
        raise OperatorError(
            f"The schema is at {found.current}, which is newer than this version of pay402 knows; "
            "run the version that migrated it, or a later one."
        )
    raise OperatorError(
        f"The schema is at {found.current or 'nothing'} but this version needs {found.head}; "
        "run `pay402 migrate up`."
    )


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", "pay402:migrations")
    config.attributes["connection"] = connection
    return config


@asynccontextmanager
async def _connection(dsn: str) -> AsyncIterator[AsyncConnection]:
    async def connect() -> asyncpg.Connection:
        opened: asyncpg.Connection = await reached(
            dsn,
            lambda: asyncpg.connect(
                dsn, timeout=10.0, server_settings={"application_name": "pay402-migrate"}
            ),
        )
        return opened

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()


async def _locked(dsn: str, work: Callable[[Config], None]) -> MigrationStatus:
    async with _connection(dsn) as connection:
        await connection.execute(text(f"SET lock_timeout = '{_WAIT_FOR_OTHERS}'"))
        await connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
        await connection.commit()
        try:
            await connection.run_sync(lambda sync: work(_config(sync)))
            await connection.commit()
        except (CommandError, ResolutionError) as error:
            raise OperatorError(
                f"There is no such version ({error}); see `pay402 migrate status`."
            ) from error
        except (DBAPIError, asyncpg.PostgresError) as error:
            reason = str(getattr(error, "orig", error)).splitlines()[0]
            raise OperatorError(
                f"The migration failed and changed nothing ({reason}); mend the cause and run it again."
            ) from error
        finally:
            await connection.rollback()
            await connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})
            await connection.commit()
        return await connection.run_sync(_status)


def _status(connection: Connection) -> MigrationStatus:
    scripts = ScriptDirectory.from_config(_config(connection))
    current = MigrationContext.configure(connection).get_current_revision()
    versions = [script.revision for script in reversed(list(scripts.walk_revisions()))]
    head = versions[-1]
    known = current is None or current in versions
    after = versions.index(current) + 1 if current in versions else 0
    return MigrationStatus(current, head, tuple(versions[after:]) if known else (), known)


def context_options() -> dict[str, Any]:
    """How alembic's environment is set up: each version in a transaction of its own."""
    return {"transaction_per_migration": True, "transactional_ddl": True}
