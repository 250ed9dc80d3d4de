"""What was decided about a finding, asked while reports are made: open findings come first."""

from migrations.sql_files import run_sql

revision = "0034"
down_revision = "0033"


def upgrade() -> None:
    """Run 0034_open_findings_first.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0034_open_findings_first.down.sql."""
    run_sql(__file__, "down")
