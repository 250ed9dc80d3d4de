"""`pay402 restore`: a backup into an empty database."""

from pathlib import Path
from typing import Annotated

import structlog
import typer
from pydantic import SecretStr

from cli.backups.archive import Archive
from cli.backups.restoration import Restored, restore, scratch_database
from cli.errors import NOT_CURRENT
from cli.printing import AsJson, print_json, shown_waiting
from cli.running import run_stoppable, settings_for
from migrations import give_rights, status
from runtime.embedded.servers import database_address
from runtime.errors import OperatorError
from runtime.settings import DatabaseSettings

_log = structlog.get_logger(__name__)


def command(
    file: Annotated[Path, typer.Argument(help="The .dump, with its .dump.json and .dump.sha256 beside it")],
    into: Annotated[
        str | None,
        typer.Option(help="The empty database; default: DATABASE_URL, which others on this machine cannot read"),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Only into a scratch database beside it, which is dropped again")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Restore a backup into an empty database, all or nothing, and compare every row with what was dumped.

    The exit code is 3 when what was restored has another schema than this version needs.

    Example: DATABASE_URL=postgresql://… pay402 restore /var/backups/pay402/pay402-20251119T031500Z.dump
    """
    settings = settings_for(DatabaseSettings)
    if into is not None:
        settings = settings.model_copy(update={"database_url": SecretStr(into)})
    archive = Archive(file)

    async def work() -> tuple[Restored, str]:
        async with database_address(settings) as dsn:
            if verify:
                async with scratch_database(dsn) as scratch:
                    return await restore(archive, scratch), ""
            restored = await restore(archive, dsn)
            found = await status(dsn)
            if found.is_current:
                # A backup knows nothing of roles, for they belong to the server.
                if without := await give_rights(dsn):
                    _log.warning("roles_without_rights", roles=without, hint="see `pay402 migrate roles`")
                return restored, ""
            if found.is_unknown:
                return restored, f"its schema {found.current} is newer than {found.head}; install the newer pay402"
            return restored, f"its schema is at {found.current}, not {found.head}; run pay402 migrate up"

    with shown_waiting("restoring, and comparing every row"):
        restored, remark = run_stoppable(work, "The restore")
    if as_json:
        print_json(restored)
    else:
        where = "a scratch database, which is dropped again" if verify else "the database"
        typer.echo(f"{restored.rows} rows of {restored.tables} tables are in {where}, the same as were dumped")
    if remark:
        raise OperatorError(f"The backup is restored, but {remark}.", exit_code=NOT_CURRENT)
