"""The marketplace and its payouts, the worker's reports, and what other processes ask of the indexer."""

from migrations.sql_files import run_sql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Run 0004_marketplace.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0004_marketplace.down.sql."""
    run_sql(__file__, "down")
