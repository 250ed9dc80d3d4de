"""Whose a wallet was when it was paid."""

from migrations.sql_files import run_sql

revision = "0039"
down_revision = "0038"


def upgrade() -> None:
    """Run 0039_whose_wallet.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0039_whose_wallet.down.sql."""
    run_sql(__file__, "down")
