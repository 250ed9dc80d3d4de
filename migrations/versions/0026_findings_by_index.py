"""Indexes for the claims that a reconciliation looks for."""

from migrations.sql_files import run_sql

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    """Run 0026_findings_by_index.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0026_findings_by_index.down.sql."""
    run_sql(__file__, "down")
