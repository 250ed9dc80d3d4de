"""Transfers that too few nodes have seen are shown as pending, and counted nowhere."""

from migrations.sql_files import run_sql

revision = "0041"
down_revision = "0040"


def upgrade() -> None:
    """Run 0041_pending_transfers.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0041_pending_transfers.down.sql."""
    run_sql(__file__, "down")
