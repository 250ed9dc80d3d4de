"""Services know whether they were offered with a live key or with a test key."""

from migrations.sql_files import run_sql

revision = "0038"
down_revision = "0037"


def upgrade() -> None:
    """Run 0038_services_for_tests.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0038_services_for_tests.down.sql."""
    run_sql(__file__, "down")
