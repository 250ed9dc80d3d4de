"""The roles of our processes, and what each may do in a database: see `roles.sql`.

Roles belong to the whole server and rights to one database. They are group roles that nobody can log in as: a login
gets the rights of a process by `GRANT pay402_api TO that_login`. Taking a schema down never drops a role, for other
databases of the server may use it.
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

import asyncpg

_SECTION: Final = re.compile(r"^-- role: (\w+)$", re.MULTILINE)


@cache
def grants() -> Mapping[str, str]:
    """The statements that give each role its rights, by role."""
    text = resources.files("migrations").joinpath("roles.sql").read_text(encoding="utf-8")
    _, *pieces = _SECTION.split(text)
    return dict(zip(pieces[0::2], pieces[1::2], strict=True))


def create_statements() -> str:
    """What a database administrator runs where the migrating login may not create roles."""
    return "".join(f"CREATE ROLE {role} NOLOGIN;\n" for role in grants())


async def apply_roles(connection: "asyncpg.Connection[Any]") -> tuple[str, ...]:
    """Create the roles that are missing and give each exactly its rights; the schema must be current.

    Repeating it changes nothing. Processes that do so at once must hold the lock of migrations.

    Returns:
        Roles that have no rights now, because this login may not create them or does not own our tables.
    """
    refused = []
    for role, statements in grants().items():
        try:
            await _ensure(connection, role)
            async with connection.transaction():
                await connection.execute(
                    f"REVOKE ALL ON ALL TABLES IN SCHEMA public, analytics FROM {role};"
                    f"REVOKE ALL ON SCHEMA public, analytics FROM {role};"
                    f"{statements}"
                )
        except asyncpg.InsufficientPrivilegeError:
            refused.append(role)
    return tuple(refused)


async def _ensure(connection: "asyncpg.Connection[Any]", role: str) -> None:
    if await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role):
        return
    try:
        await connection.execute(f"CREATE ROLE {role} NOLOGIN")
    except (asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):
        return  # somebody who migrates another database of this server has just made it
