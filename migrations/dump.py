"""The schema as readable SQL: what the migrations add up to, kept in `schema.sql` for people and for review."""

import re
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from migrations.migrate import upgrade
from runtime.embedded.postgres import postgres_binaries
from runtime.embedded.servers import embedded_postgres
from runtime.errors import OperatorError

SCHEMA_FILE: Final = Path(__file__).parent / "schema.sql"
_HEADING: Final = "-- What the migrations add up to. Written by `pay402 migrate dump`; do not edit.\n\n"
# What depends on the version of pg_dump or on the session, and says nothing about the schema.
_NOISE: Final = re.compile(r"^(--.*|SET .*;|SELECT pg_catalog\.set_config\(.*|\\(un)?restrict .*)\n", re.MULTILINE)


async def current_schema() -> str:
    """The schema at head, from a Postgres made for the purpose. Takes about two seconds."""
    # Not below PAY402_HOME: that database may be in use, or be at another revision.
    with tempfile.TemporaryDirectory(prefix="pay402-schema-") as home:
        async with embedded_postgres(Path(home)) as dsn:
            await upgrade(dsn)
            return dump_schema(dsn)


def dump_schema(dsn: str) -> str:
    """The schema of the database at `dsn`, the same text for the same schema. Blocks.

    Raises:
        OperatorError: pg_dump refuses.
    """
    result = subprocess.run(  # noqa: S603 - a program of ours with arguments of ours
        [
            str(postgres_binaries() / "pg_dump"),
            "--schema-only",
            "--no-owner",
            "--no-privileges",
            "--exclude-table=alembic_version",
            dsn,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise OperatorError(f"The schema cannot be dumped ({result.stderr.strip()}); correct DATABASE_URL.")
    statements = re.sub(r"\n{2,}", "\n\n", _NOISE.sub("", result.stdout)).strip()
    return _HEADING + statements + "\n"
