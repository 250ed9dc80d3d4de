"""Fees of payments over x402 that were settled without an API key have budgets of their own."""

from migrations.sql_files import run_sql

revision = "0042"
down_revision = "0041"


def upgrade() -> None:
    """Run 0042_fees_without_keys.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0042_fees_without_keys.down.sql."""
    run_sql(__file__, "down")
