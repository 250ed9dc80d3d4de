"""What a wallet's former owner was paid is that user's in reports."""

from migrations.sql_files import run_sql

revision = "0046"
down_revision = "0045"


def upgrade() -> None:
    """Run 0046_findings_of_former_owners.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0046_findings_of_former_owners.down.sql."""
    run_sql(__file__, "down")
