"""Payments that a facilitator of x402 signs, sends and settles, and what their fees may cost."""

from migrations.sql_files import run_sql

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Run 0017_settlements.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0017_settlements.down.sql."""
    run_sql(__file__, "down")
