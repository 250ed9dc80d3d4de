"""One order for each stretch of history that waits, and indexes for pages of keys and wallets."""

from migrations.sql_files import run_sql

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    """Run 0028_orders_once_and_lists_of_keys.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0028_orders_once_and_lists_of_keys.down.sql."""
    run_sql(__file__, "down")
