"""A transfer that was given back pays for nothing."""

from migrations.sql_files import run_sql

revision = "0036"
down_revision = "0035"


def upgrade() -> None:
    """Run 0036_given_back.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0036_given_back.down.sql."""
    run_sql(__file__, "down")
