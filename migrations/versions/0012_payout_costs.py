"""What payouts cost, and what of it is taken from them."""

from migrations.sql_files import run_sql

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Run 0012_payout_costs.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0012_payout_costs.down.sql."""
    run_sql(__file__, "down")
