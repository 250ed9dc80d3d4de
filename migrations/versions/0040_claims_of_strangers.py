"""Pending claims of strangers share what there is among the clients that they come from."""

from migrations.sql_files import run_sql

revision = "0040"
down_revision = "0039"


def upgrade() -> None:
    """Run 0040_claims_of_strangers.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0040_claims_of_strangers.down.sql."""
    run_sql(__file__, "down")
