"""The ledger's first tables: recipients and their accounts, transfers, balance changes, events."""

from migrations.sql_files import run_sql

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Run 0001_ledger.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0001_ledger.down.sql."""
    run_sql(__file__, "down")
