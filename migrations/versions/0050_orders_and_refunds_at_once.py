"""Payments over x402 give nothing back; wallets and services are asked about by index; counts are made anew."""

from migrations.sql_files import run_sql

revision = "0050"
down_revision = "0049"


def upgrade() -> None:
    """Run 0050_orders_and_refunds_at_once.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0050_orders_and_refunds_at_once.down.sql."""
    run_sql(__file__, "down")
