"""Postgres' own programs, run without a secret on the command line, in the environment or in what they say."""

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from cli.backups.tls_relay import way_to
from runtime.connection_string import joined, read_connection_string
from runtime.embedded.postgres import postgres_binaries
from runtime.errors import OperatorError
from runtime.logging import scrub

_INSTALLED: Final = (16, 18)
# What libpq reads and what programs need to run; our own settings and secrets are none of their business.
_PASSED_ON: Final = re.compile(r"PG[A-Z]+|PATH|HOME|TMPDIR|TZ")


async def program(name: str, server_major: int) -> Path:
    """The program `name` of the oldest installation that a server of this version accepts.

    Newer programs write settings into a dump that an older server does not know; older ones refuse a newer server.

    Raises:
        OperatorError: Every installation is too old.
    """
    found = {}
    for major in _INSTALLED:
        try:
            found[major] = postgres_binaries(major) / name
        except OperatorError:
            continue
    if (on_path := shutil.which(name)) is not None:
        found[await _major(Path(on_path))] = Path(on_path)
    fitting = [major for major in found if major >= server_major]
    if not fitting:
        raise OperatorError(
            f"{name} must be of version {server_major} or newer for this server; "
            f"install Postgres' client programs {server_major}."
        )
    return found[min(fitting)]


async def _major(path: Path) -> int:
    process = await asyncio.create_subprocess_exec(path, "--version", stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    version = re.search(rb"(\d+)", said)
    return int(version[1]) if version else 0


async def run(path: Path, *arguments: str, dsn: str) -> None:
    """Run a program on the database at `dsn` to its end; a cancellation ends it too.

    Raises:
        OperatorError: It failed; the sentence has its own last words.
    """
    async with way_to(read_connection_string(dsn)) as reachable:
        await _run_there(path, arguments, reachable)


async def _run_there(path: Path, arguments: tuple[str, ...], reachable: str) -> None:
    with _address(reachable) as (address, environment):
        process = await asyncio.create_subprocess_exec(
            path,
            f"--dbname={address}",
            "--no-password",
            *arguments,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            _, said = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    if process.returncode != 0:
        lines = [line.strip() for line in said.decode(errors="replace").splitlines() if "error:" in line]
        reason = scrub(lines[0] if lines else f"it ended with {process.returncode}").rstrip(".")
        raise OperatorError(f"{path.name} failed ({reason}); mend that and run the same command again.")


@contextmanager
def _address(dsn: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The address without its password, and an environment that names a file with it, which lives meanwhile."""
    parts = urlsplit(dsn)
    user, at, host = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    query = parse_qsl(parts.query, keep_blank_values=True)
    secret = next((value for key, value in query if key == "password"), unquote(password))
    rest = urlencode([pair for pair in query if pair[0] != "password"], quote_via=quote, safe="/,")
    address = joined(parts._replace(netloc=f"{name}{at}{host}", query=rest))
    environment = {key: value for key, value in os.environ.items() if _PASSED_ON.fullmatch(key)} | {"LC_ALL": "C"}
    if not secret:
        yield address, environment
        return
    with tempfile.TemporaryDirectory(prefix="pay402-") as directory:  # readable to ourselves only
        file = Path(directory) / "pgpass"
        file.touch(mode=0o600)
        escaped = secret.replace("\\", "\\\\").replace(":", "\\:")
        file.write_text(f"*:*:*:*:{escaped}\n", encoding="utf-8")
        environment.pop("PGPASSWORD", None)
        yield address, environment | {"PGPASSFILE": str(file)}
