"""`pay402 services`: what is offered on the marketplace, and for whom."""

from typing import Annotated, Any, Final
from uuid import UUID

import asyncpg
import typer
from rich.table import Table
from rich.text import Text

from cli.help_style import PLAIN_HELP
from cli.printing import AsJson, amount_column, print_json, print_table, printable
from cli.running import with_connection
from ledger.amounts import amount_text
from ledger.recipients import MovedToTests
from ledger.services import Service, ServiceFilter, list_services, move_service_to_tests
from runtime.errors import OperatorError

app = typer.Typer(help="What the marketplace offers: list, for-tests.", no_args_is_help=True, **PLAIN_HELP)

_SHOWN_MAX: Final = 1_000
_HELD_BY: Final = {
    "payments": "live jobs of it were paid for, which count in live totals; give another service",
    "jobs": "live jobs of it are under way; wait until they have ended",
}


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the services on offer, the newest first.

    Example: pay402 services list --json | jq '.[].id'
    """

    async def work(connection: asyncpg.Connection) -> list[Service]:
        found, _ = await list_services(connection, ServiceFilter(), sort="newest", limit=_SHOWN_MAX, offset=0)
        return found

    found = with_connection(work)
    if as_json:
        print_json([_listed(one) for one in found])
        return
    table = Table("service", "name", amount_column("price"), "token", "environment", "user")
    for one in found:
        # What people wrote is text, whatever brackets are in it.
        name, token, user = (Text(printable(text)) for text in (one.name, one.price_currency, one.user_id))
        table.add_row(str(one.id), name, amount_text(one.price_amount, one.decimals), token, one.environment, user)
    print_table(table, names={"name", "token", "user"})


def _listed(one: Service) -> dict[str, Any]:
    """The service for scripts."""
    return {
        "id": str(one.id),
        "name": one.name,
        "price_amount": str(one.price_amount),
        "price_currency": one.price_currency,
        "environment": one.environment,
        "user_id": one.user_id,
        "agent_id": one.agent_id,
        "payout_address": one.payout_address,
    }


@app.command()
def for_tests(
    service: Annotated[UUID, typer.Argument(help="A service; see `pay402 services list`")], as_json: AsJson = False
) -> None:
    """Make a live service one for tests, which test keys alone order. Refused once live jobs paid for it.

    Example: pay402 services for-tests 7d444840-9dc0-4fc1-8c4b-0f6a1d6b3a11
    """

    async def work(connection: asyncpg.Connection) -> MovedToTests | None:
        return await move_service_to_tests(connection, service)

    moved = with_connection(work)
    if moved is None:
        raise OperatorError(f"There is no service {service}; see `pay402 services list`.")
    if moved.held_by is not None:
        raise OperatorError(f"{service} stays live: {_HELD_BY[moved.held_by]}.")
    if as_json:
        print_json({"id": str(service), "environment": "test", "is_moved": moved.is_moved})
    else:
        typer.echo(f"{service} is {'for tests from now on' if moved.is_moved else 'for tests already'}.")
