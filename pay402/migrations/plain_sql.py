"""Run the SQL file that stands beside a version."""

from pathlib import Path
from typing import Literal

from alembic import op
from sqlalchemy import text
from sqlalchemy.util import await_only


def run(version_file: str, direction: Literal["up", "down"]) -> None:
    """Run `<version>.up.sql` or `<version>.down.sql` inside the version's transaction."""
    sql = Path(version_file).with_suffix(f".{direction}.sql").read_text(encoding="utf-8")
    connection = op.get_bind()
    # These also begin the transaction, which the driver's own `execute` below would not do.
    connection.execute(text("SET LOCAL lock_timeout = '5s'"))
    connection.execute(text("SET LOCAL statement_timeout = '15min'"))
    # Only the driver's own `execute` takes a file of many statements.
    driver = connection.connection.driver_connection
    assert driver is not None
    await_only(driver.execute(sql))
