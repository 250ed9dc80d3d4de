"""What is kept for reports is counted anew after a table of the ledger was emptied."""

from migrations.sql_files import run_sql

revision = "0032"
down_revision = "0031"


def upgrade() -> None:
    """Run 0032_emptied_tables.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0032_emptied_tables.down.sql."""
    run_sql(__file__, "down")
