"""Bring a schema up or down. Any number of replicas may try at once: one does it, the others find it done."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
import structlog
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from migrations import revisions
from migrations.logins import apply_logins
from migrations.revisions import known_revisions
from migrations.roles import apply_roles
from migrations.status import MigrationStatus, check_current, read_status
from runtime.connection_string import place, read_connection_string
from runtime.database import READ_ONLY, connect_plainly, is_read_only, open_connection, reach
from runtime.database_errors import DATABASE_ERRORS, DatabaseTrouble, trouble_of
from runtime.errors import OperatorError

_log = structlog.get_logger(__name__)

# Any constant of ours: advisory locks are numbers, and each database has its own.
_ADVISORY_LOCK: Final = 402_000_001
_WAIT_SECONDS: Final = 300.0
_POLL_SECONDS: Final = 0.2


async def upgrade(dsn: str, target: str = "head") -> MigrationStatus:
    """Apply the revisions up to `target`: `head`, a revision, or `+1`. Each is one transaction.

    Returns:
        Where the schema stands afterwards.

    Raises:
        OperatorError: The database cannot be reached, another process migrates for too long, a revision is not
            known or fails. What was applied before stays; the one that failed leaves no trace.
    """
    return await _migrate(dsn, target, "up")


async def downgrade(dsn: str, target: str) -> MigrationStatus:
    """Revert the revisions down to `target`: a revision, `-1`, or `base`. Results and errors are as for `upgrade`."""
    return await _migrate(dsn, target, "down")


async def give_rights(dsn: str) -> tuple[str, ...]:
    """Give the roles of our processes their rights in a current schema again; returns those that have none.

    Raises:
        OperatorError: The database cannot be reached, another process migrates for too long, or the schema is not
            current.
    """
    async with _alone(dsn) as guard:
        await check_current(guard)
        return await apply_roles(guard)


async def give_logins(dsn: str, addresses: Mapping[str, str]) -> None:
    """Make the logins that `addresses` name, by role, or change their passwords. See `logins.apply_logins`.

    Raises:
        OperatorError: The database cannot be reached, the schema is not current, or a login cannot be made.
    """
    async with _alone(dsn) as guard:
        await check_current(guard)
        await apply_logins(guard, addresses)


async def _migrate(dsn: str, target: str, direction: str) -> MigrationStatus:
    try:
        async with _alone(dsn) as guard:
            before = await read_status(guard)
            if before.is_unknown:
                raise OperatorError(
                    f"The schema is at {before.current} but this version knows only up to {before.head}; "
                    "install the newer pay402 that migrated it."
                )
            try:
                async with _engine_connection(dsn) as connection:
                    await connection.run_sync(_run_alembic, target, direction)
            except CommandError:
                raise OperatorError(
                    f"There is no way {direction} to {target!r} from {before.current or 'an empty database'}; "
                    f"the revisions are {', '.join(known_revisions())}."
                ) from None
            after = await read_status(guard)
            if direction == "up" and after.is_current and (without := await apply_roles(guard)):
                _log.warning("roles_without_rights", roles=without, hint="see `pay402 migrate roles`")
            return after
    except (DBAPIError, *DATABASE_ERRORS) as error:
        cause = _of_the_driver(error)
        raise OperatorError(_undone(cause)) from cause


def _of_the_driver(error: BaseException) -> BaseException:
    """What asyncpg said: SQLAlchemy wraps that twice, in words of its own around the statement."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        return error.orig.__cause__ or error.orig
    return error


def _undone(error: BaseException) -> str:
    """What an operator does about a migration that failed by `error`."""
    if isinstance(error, asyncpg.LockNotAvailableError):
        return (
            "A migration waited too long for a table that others use, and was undone; "
            "run it again when the database is less busy."
        )
    reason = str(error).partition("\n")[0].rstrip(".")
    match trouble_of(error):
        case DatabaseTrouble.AWAY:
            return f"The database went away, and a migration was undone ({reason}); see its log and run it again."
        case DatabaseTrouble.REFUSED:
            return (
                f"The database refuses a migration, which was undone ({reason}); "
                "give the login of DATABASE_URL its rights, or the server what it lacks, and run it again."
            )
        case _:
            return f"A migration failed and was undone ({reason}); mend that and run it again."


def _is_target(target: str) -> bool:
    """Alembic understands more, such as parts of a revision's name; nobody should rely on that with money."""
    return target in {"head", "base", *known_revisions()} or re.fullmatch(r"[+-][0-9]+", target) is not None


@asynccontextmanager
async def _alone(dsn: str) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """Hold the lock that only one migrating process can hold, on a session of its own."""
    async with open_connection(dsn, application="migrate", patience_seconds=5.0) as guard:
        if is_read_only(guard):
            raise OperatorError(READ_ONLY.format(place=place(dsn)))
        deadline = time.monotonic() + _WAIT_SECONDS
        # Asking again and again, instead of waiting inside a statement: the snapshot of a waiting statement would
        # keep CREATE INDEX CONCURRENTLY, in the process that migrates, from ever ending.
        while not await guard.fetchval(f"SELECT pg_try_advisory_lock({_ADVISORY_LOCK})"):
            if time.monotonic() > deadline:
                raise OperatorError(
                    f"Another process has been migrating this database for {_WAIT_SECONDS:g} s; "
                    "wait for it or end it, then run pay402 migrate again."
                )
            await asyncio.sleep(_POLL_SECONDS)
        yield guard


@asynccontextmanager
async def _engine_connection(dsn: str) -> AsyncIterator[AsyncConnection]:
    """A connection of SQLAlchemy to a libpq DSN, socket directories included, which its own URLs cannot name."""

    async def connect() -> "asyncpg.Connection[Any]":
        return await reach(dsn, lambda: connect_plainly(read_connection_string(dsn), "migrate"))

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()


def _run_alembic(connection: Connection, target: str, direction: str) -> None:
    if not _is_target(target):
        raise CommandError(target)
    # Configured here and not in an alembic.ini, so that an installed wheel migrates as a checkout does.
    script = ScriptDirectory(str(revisions.VERSIONS.parent))

    def steps(revision: Any, _: MigrationContext) -> Any:
        if direction == "up":
            return script._upgrade_revs(target, revision)  # noqa: SLF001 - as alembic's own commands do
        return script._downgrade_revs(target, revision)  # noqa: SLF001 - as alembic's own commands do

    with EnvironmentContext(Config(), script, fn=steps, destination_rev=target) as environment:
        environment.configure(connection=connection, transaction_per_migration=True)
        with environment.begin_transaction():
            environment.run_migrations()
    if direction == "down" and MigrationContext.configure(connection).get_current_revision() is None:
        # Nothing of ours stays behind.
        connection.exec_driver_sql("DROP TABLE IF EXISTS alembic_version")
    connection.commit()
