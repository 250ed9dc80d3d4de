"""The feed: what happened, as merchants see it, in an order that skips nothing."""

from migrations.sql_files import run_sql

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Run 0018_feed.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0018_feed.down.sql."""
    run_sql(__file__, "down")
