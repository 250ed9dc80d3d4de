"""Claims, payment requests, API keys, kept answers, signs of life."""

from migrations.sql_files import run_sql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Run 0003_claims.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0003_claims.down.sql."""
    run_sql(__file__, "down")
