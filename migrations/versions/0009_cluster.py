"""The cluster that the ledger is about."""

from migrations.sql_files import run_sql

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Run 0009_cluster.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0009_cluster.down.sql."""
    run_sql(__file__, "down")
