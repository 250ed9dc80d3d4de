"""By which key the keys of webhooks are sealed."""

from migrations.sql_files import run_sql

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    """Run 0025_sealed_webhook_keys.up.sql."""
    run_sql(__file__, "up")


def downgrade() -> None:
    """Run 0025_sealed_webhook_keys.down.sql."""
    run_sql(__file__, "down")
