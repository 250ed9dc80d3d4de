"""Which mints are which token, said once."""

from migrations.sql_files import run_sql

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Run 0010_mint_counts_as.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0010_mint_counts_as.down.sql."""
    run_sql(__file__, "down")
