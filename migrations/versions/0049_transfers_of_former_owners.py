"""What a wallet received is its owner's of that time in the views for analysts."""

from migrations.sql_files import run_sql

revision = "0049"
down_revision = "0048"


def upgrade() -> None:
    """Run 0049_transfers_of_former_owners.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0049_transfers_of_former_owners.down.sql."""
    run_sql(__file__, "down")
