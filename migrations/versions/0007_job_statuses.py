"""What the statuses of jobs and of their escrow have in common, said once."""

from migrations.sql_files import run_sql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Run 0007_job_statuses.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0007_job_statuses.down.sql."""
    run_sql(__file__, "down")
