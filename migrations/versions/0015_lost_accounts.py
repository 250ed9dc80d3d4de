"""Token accounts that belong to somebody else now."""

from migrations.sql_files import run_sql

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Run 0015_lost_accounts.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0015_lost_accounts.down.sql."""
    run_sql(__file__, "down")
