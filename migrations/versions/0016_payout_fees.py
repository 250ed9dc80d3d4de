"""Fees of the network for payouts, and who bears them."""

from migrations.sql_files import run_sql

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Run 0016_payout_fees.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0016_payout_fees.down.sql."""
    run_sql(__file__, "down")
