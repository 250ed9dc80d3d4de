"""Analytics: totals kept with the claims, indexes that count without reading rows, and read-only views."""

from migrations.sql_files import run_sql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Run 0005_analytics.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0005_analytics.down.sql."""
    run_sql(__file__, "down")
