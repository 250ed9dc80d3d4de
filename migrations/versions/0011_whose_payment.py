"""Whose a payment is: proofs, payment requests and wallets."""

from migrations.sql_files import run_sql

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Run 0011_whose_payment.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0011_whose_payment.down.sql."""
    run_sql(__file__, "down")
