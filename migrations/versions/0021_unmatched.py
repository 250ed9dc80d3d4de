"""How far finalized transfers were looked at for those that nobody claims."""

from migrations.sql_files import run_sql

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Run 0021_unmatched.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0021_unmatched.down.sql."""
    run_sql(__file__, "down")
