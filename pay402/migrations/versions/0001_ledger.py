"""The ledger's first tables."""

from pay402.migrations import plain_sql

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create them."""
    plain_sql.run(__file__, "up")


def downgrade() -> None:
    """Drop them, with everything in them."""
    plain_sql.run(__file__, "down")
