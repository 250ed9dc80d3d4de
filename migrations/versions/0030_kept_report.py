"""What a reconciliation reports is kept, by what changes."""

from migrations.sql_files import run_sql

revision = "0030"
down_revision = "0029"


def upgrade() -> None:
    """Run 0030_kept_report.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0030_kept_report.down.sql."""
    run_sql(__file__, "down")
