"""The schema, versioned. Each version is a pair of plain SQL files, up and down, and alembic keeps their order."""

from collections.abc import Mapping

from migrations.status import MigrationStatus, check_current, status

__all__ = ["MigrationStatus", "check_current", "downgrade", "give_logins", "give_rights", "status", "upgrade"]


async def upgrade(dsn: str, target: str = "head") -> MigrationStatus:
    """Apply the revisions up to `target`: `head`, a revision, or `+1`. See `migrate.upgrade`."""
    # Alembic takes a quarter of a second to import; processes that only check the schema do without it.
    from migrations import migrate

    return await migrate.upgrade(dsn, target)


async def downgrade(dsn: str, target: str = "-1") -> MigrationStatus:
    """Revert the revisions down to `target`: a revision, `-1`, or `base`. See `migrate.downgrade`."""
    from migrations import migrate

    return await migrate.downgrade(dsn, target)


async def give_rights(dsn: str) -> tuple[str, ...]:
    """Give the roles of our processes their rights again. See `migrate.give_rights`."""
    from migrations import migrate

    return await migrate.give_rights(dsn)


async def give_logins(dsn: str, addresses: Mapping[str, str]) -> None:
    """Make the logins that `addresses` name, by role. See `migrate.give_logins`."""
    from migrations import migrate

    await migrate.give_logins(dsn, addresses)
