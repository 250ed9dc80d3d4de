"""Run the SQL file of a version, whole, inside alembic's transaction."""

from pathlib import Path
from typing import Final, Literal

from alembic import op
from sqlalchemy.util import await_only

# A migration that waits for a lock makes everybody queue behind it: better to fail soon and be run again.
_TIMEOUTS: Final = "SET LOCAL lock_timeout = '10s'; SET LOCAL statement_timeout = '10min'"


def run_sql(version_file: str, direction: Literal["up", "down"]) -> None:
    """Run `<version>.up.sql` or `<version>.down.sql` beside `version_file`."""
    sql = Path(version_file).with_suffix(f".{direction}.sql").read_text(encoding="utf-8")
    connection = op.get_bind()
    # SQLAlchemy begins the transaction with the first statement it sends itself.
    connection.exec_driver_sql("SELECT 1")
    driver = connection.connection.driver_connection
    if driver is None or not driver.is_in_transaction():
        raise RuntimeError("a migration must run inside a transaction")
    # Without parameters asyncpg uses the simple protocol, which takes many statements at once.
    await_only(driver.execute(_TIMEOUTS))
    await_only(driver.execute(sql))
