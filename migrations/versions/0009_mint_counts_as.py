"""Which mints are which token, said once."""

from migrations.sql_files import run_sql

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Run 0009_mint_counts_as.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0009_mint_counts_as.down.sql."""
    run_sql(__file__, "down")
