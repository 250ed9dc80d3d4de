"""Payments that a facilitator of x402 signs, sends and settles, and what their fees may cost."""

from migrations.sql_files import run_sql

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Run 0016_settlements.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0016_settlements.down.sql."""
    run_sql(__file__, "down")
