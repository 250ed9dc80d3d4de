"""Without two indexes that cost recording more than they gain."""

from migrations.sql_files import run_sql

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    """Run 0027_fewer_list_indexes.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0027_fewer_list_indexes.down.sql."""
    run_sql(__file__, "down")
