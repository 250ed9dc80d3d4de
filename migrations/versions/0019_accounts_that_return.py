"""Accounts that come back, and those that are not followed yet."""

from migrations.sql_files import run_sql

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Run 0019_accounts_that_return.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0019_accounts_that_return.down.sql."""
    run_sql(__file__, "down")
