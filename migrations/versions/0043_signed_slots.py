"""The newest slot that was seen when a payout or a settlement was signed."""

from migrations.sql_files import run_sql

revision = "0043"
down_revision = "0042"


def upgrade() -> None:
    """Run 0043_signed_slots.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0043_signed_slots.down.sql."""
    run_sql(__file__, "down")
