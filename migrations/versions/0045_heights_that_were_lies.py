"""What a node once said wrongly of a height or a slot may be corrected."""

from migrations.sql_files import run_sql

revision = "0045"
down_revision = "0044"


def upgrade() -> None:
    """Run 0045_heights_that_were_lies.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0045_heights_that_were_lies.down.sql."""
    run_sql(__file__, "down")
