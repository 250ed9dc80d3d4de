"""Reputation is earned from others, and payouts that wait can be redirected."""

from migrations.sql_files import run_sql

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Run 0014_reputation.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0014_reputation.down.sql."""
    run_sql(__file__, "down")
