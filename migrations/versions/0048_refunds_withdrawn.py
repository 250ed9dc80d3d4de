"""A refund that was noted by mistake can be withdrawn."""

from migrations.sql_files import run_sql

revision = "0048"
down_revision = "0047"


def upgrade() -> None:
    """Run 0048_refunds_withdrawn.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0048_refunds_withdrawn.down.sql."""
    run_sql(__file__, "down")
