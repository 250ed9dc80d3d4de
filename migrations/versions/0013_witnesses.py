"""A second node as witness of a payment."""

from migrations.sql_files import run_sql

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Run 0013_witnesses.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0013_witnesses.down.sql."""
    run_sql(__file__, "down")
