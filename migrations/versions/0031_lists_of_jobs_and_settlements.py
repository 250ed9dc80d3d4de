"""Indexes for lists of jobs, payouts and settlements, of one user or of everybody, by where they stand."""

from migrations.sql_files import run_sql

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    """Run 0031_lists_of_jobs_and_settlements.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0031_lists_of_jobs_and_settlements.down.sql."""
    run_sql(__file__, "down")
