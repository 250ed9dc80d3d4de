"""What the statuses of claims and payouts, and the kinds of transfers, have in common, said once."""

from migrations.sql_files import run_sql

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Run 0008_claim_statuses.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0008_claim_statuses.down.sql."""
    run_sql(__file__, "down")
