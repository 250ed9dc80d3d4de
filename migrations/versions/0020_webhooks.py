"""Webhooks: addresses that are sent what happens, and every delivery to them."""

from migrations.sql_files import run_sql

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Run 0020_webhooks.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0020_webhooks.down.sql."""
    run_sql(__file__, "down")
