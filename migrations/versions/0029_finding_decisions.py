"""What people decided about the findings of reconciliations."""

from migrations.sql_files import run_sql

revision = "0029"
down_revision = "0028"


def upgrade() -> None:
    """Run 0029_finding_decisions.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0029_finding_decisions.down.sql."""
    run_sql(__file__, "down")
