"""The console: sessions of browsers, and lists of payment requests by index."""

from migrations.sql_files import run_sql

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    """Run 0024_console.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0024_console.down.sql."""
    run_sql(__file__, "down")
