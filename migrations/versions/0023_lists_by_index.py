"""Indexes for lists of transfers, whatever they are filtered by."""

from migrations.sql_files import run_sql

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    """Run 0023_lists_by_index.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0023_lists_by_index.down.sql."""
    run_sql(__file__, "down")
