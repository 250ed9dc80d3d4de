"""Named queries from `.sql` files beside the module that runs them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import fields
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, get_args

import aiosql

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


class Database(Protocol):
    """What statements are run on: a connection, or a pool, which takes a connection for each statement."""

    async def execute(self, query: str, *args: object, timeout: float | None = None) -> str:
        """Run one statement and return its tag."""


class DatabaseConnection(Database, Protocol):
    """One connection: several statements of a function belong together in its transaction."""

    def transaction(self, *, readonly: bool = False) -> AbstractAsyncContextManager[Any]:
        """Open a transaction for a block."""


class DatabasePool(Database, Protocol):
    """A pool, for what takes a connection of its own for as long as it needs it."""

    def acquire(self) -> AbstractAsyncContextManager[DatabaseConnection]:
        """Take a connection for a block."""


@asynccontextmanager
async def planned_for_its_values(database: DatabasePool) -> AsyncIterator[DatabaseConnection]:
    """A connection on which each statement is planned for the values it is given.

    For lists with filters: which index is best depends on what is filtered, and a plan for any values knows none.
    """
    async with database.acquire() as connection, connection.transaction(readonly=True):
        await connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
        yield connection


def load_queries(package: str, *files: str) -> Any:
    """The queries of `files` in `package`, each a coroutine method by its name, taking a connection first.

    A query stands after `-- name: its_name` and one comment line that says what it is for. The sign after the
    name says what it answers: `^` one row or None, `$` one value, `!` the command's tag, `*!` the same for many
    sets of parameters, none a generator of rows.

    Raises:
        ValueError: A query has no description.
    """
    texts = [resources.files(package).joinpath(file).read_text(encoding="utf-8") for file in files]
    queries = aiosql.from_str("\n\n".join(texts), "asyncpg", mandatory_parameters=False)
    for name in queries.available_queries:
        if not (getattr(queries, name).__doc__ or "").strip():
            raise ValueError(f"the query {name} in {package} has no line that says what it is for")
    return queries


def from_row(kind: type[T], row: Mapping[str, Any]) -> T:
    """The columns of `row` as a dataclass of type `kind`, field by field of the same names; other columns are left.

    A status becomes the member of its field's `StrEnum`.

    Raises:
        KeyError: The row has no column for a field.
        ValueError: The field's `StrEnum` has no such status.
    """
    made = {name: row[name] for name in _names(kind)}
    for name, status in _statuses(kind):
        if made[name] is not None:
            made[name] = status(made[name])
    return kind(**made)


@cache
def _names(kind: "type[DataclassInstance]") -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


@cache
def _statuses(kind: "type[DataclassInstance]") -> tuple[tuple[str, type[StrEnum]], ...]:
    return tuple(
        (field.name, one)
        for field in fields(kind)
        for one in (field.type, *get_args(field.type))
        if isinstance(one, type) and issubclass(one, StrEnum)
    )
