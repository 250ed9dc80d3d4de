"""Payouts that live by a nonce account, so that a signature may take days."""

from migrations.sql_files import run_sql

revision = "0035"
down_revision = "0034"


def upgrade() -> None:
    """Run 0035_durable_nonces.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0035_durable_nonces.down.sql."""
    run_sql(__file__, "down")
