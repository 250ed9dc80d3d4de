"""Findings with what was decided about each, looked up one by one."""

from migrations.sql_files import run_sql

revision = "0033"
down_revision = "0032"


def upgrade() -> None:
    """Run 0033_findings_one_by_one.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0033_findings_one_by_one.down.sql."""
    run_sql(__file__, "down")
