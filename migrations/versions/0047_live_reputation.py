"""Jobs of test keys count for nothing that is live."""

from migrations.sql_files import run_sql

revision = "0047"
down_revision = "0046"


def upgrade() -> None:
    """Run 0047_live_reputation.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0047_live_reputation.down.sql."""
    run_sql(__file__, "down")
