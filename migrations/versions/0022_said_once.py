"""Which statuses have ended or may land, and which transfers count, as functions."""

from migrations.sql_files import run_sql

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """Run 0022_said_once.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0022_said_once.down.sql."""
    run_sql(__file__, "down")
