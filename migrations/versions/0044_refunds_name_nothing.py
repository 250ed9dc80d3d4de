"""What names a payment request or a job gives nothing back."""

from migrations.sql_files import run_sql

revision = "0044"
down_revision = "0043"


def upgrade() -> None:
    """Run 0044_refunds_name_nothing.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0044_refunds_name_nothing.down.sql."""
    run_sql(__file__, "down")
