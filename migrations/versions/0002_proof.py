"""What the audit and the finalizer know: anchors, drift, gaps, vanished transactions."""

from migrations.sql_files import run_sql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Run 0002_proof.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0002_proof.down.sql."""
    run_sql(__file__, "down")
