"""Claims that came to nothing before their transaction landed, as one with a durable nonce may."""

from migrations.sql_files import run_sql

revision = "0037"
down_revision = "0036"


def upgrade() -> None:
    """Run 0037_claims_taken_up.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0037_claims_taken_up.down.sql."""
    run_sql(__file__, "down")
