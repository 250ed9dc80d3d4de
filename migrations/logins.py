"""Logins of our processes: each has a password of its own and the rights of its role, and no others.

They come from the very addresses that the processes are given, so that a password is changed in one place: there. What
reaches the server is what it would store of a password, not the password, which could end in its log.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import asyncpg

from runtime.errors import OperatorError

# Postgres' own figures.
_SCRAM_ROUNDS: Final = 4096
_SALT_BYTES: Final = 16


async def apply_logins(connection: "asyncpg.Connection[Any]", addresses: Mapping[str, str]) -> None:
    """Make the login that each address names, or give it the password that the address has, and its one role.

    Args:
        connection: Of somebody who may create roles.
        addresses: DSNs by the role that the login gets. Repeating it changes nothing.

    Raises:
        OperatorError: An address has no login and password, names one that has more rights, or this connection may
            not create any.
    """
    logins = {role: _login(role, address) for role, address in addresses.items()}
    if len({name for name, _ in logins.values()}) < len(logins):
        raise OperatorError("Two processes have the same login; give each one of its own.")
    for role, (name, password) in logins.items():
        await _refuse_the_powerful(connection, name)
        try:
            async with connection.transaction():
                await _make(connection, role, name, password)
        except asyncpg.InsufficientPrivilegeError:
            raise OperatorError(
                f"This login may not make the login {name}; let a database administrator run "
                f"CREATE ROLE {_quoted(name)} LOGIN PASSWORD '…' IN ROLE {role}, then set no address for it here."
            ) from None


async def _refuse_the_powerful(connection: "asyncpg.Connection[Any]", name: str) -> None:
    """Whoever owns the tables has every right, whatever role is added."""
    is_powerful = await connection.fetchval(
        "SELECT true FROM pg_roles WHERE rolname = $1 AND (rolname = current_user OR rolsuper OR rolcreaterole"
        " OR rolcreatedb OR rolbypassrls OR oid IN (SELECT relowner FROM pg_class WHERE relname = 'transfers'))",
        name,
    )
    if is_powerful:
        raise OperatorError(f"{name} may do anything here; give each process a login of its own that may not.")


async def _make(connection: "asyncpg.Connection[Any]", role: str, name: str, password: str) -> None:
    login, verifier = _quoted(name), scram_verifier(password)
    if not await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", name):
        await connection.execute(f"CREATE ROLE {login}")
    await connection.execute(f"ALTER ROLE {login} LOGIN PASSWORD '{verifier}'")
    rows = await connection.fetch(
        "SELECT m.roleid::regrole::text FROM pg_auth_members AS m JOIN pg_roles AS r ON r.oid = m.member"
        " WHERE r.rolname = $1",
        name,
    )
    # One that served another process before keeps nothing of it.
    for (other,) in rows:
        if other != role:
            await connection.execute(f"REVOKE {other} FROM {login}")
    if (role,) not in map(tuple, rows):
        await connection.execute(f"GRANT {role} TO {login}")


def _login(role: str, address: str) -> tuple[str, str]:
    parts = urlsplit(address)
    name, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not name or not password:
        raise OperatorError(
            f"The address for {role} has no login and password; write it as postgresql://login:…@host/."
        )
    if not password.isascii():
        raise OperatorError(f"The password for {role} has letters beyond ASCII; make one with openssl rand -hex 32.")
    return name, password


def scram_verifier(password: str) -> str:
    """What Postgres stores of an ASCII password: SCRAM-SHA-256 by RFC 7677, with a salt of its own."""
    salt = secrets.token_bytes(_SALT_BYTES)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, _SCRAM_ROUNDS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    as_text = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return "SCRAM-SHA-256${}:{}${}:{}".format(_SCRAM_ROUNDS, *as_text)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
