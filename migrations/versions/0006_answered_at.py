"""Call the time at which a proof was answered by that name."""

from migrations.sql_files import run_sql

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Run 0006_answered_at.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0006_answered_at.down.sql."""
    run_sql(__file__, "down")
