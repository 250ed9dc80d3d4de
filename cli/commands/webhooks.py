"""`pay402 webhooks`: addresses that are sent what happens."""

from typing import Annotated, Any, Final
from uuid import UUID, uuid4

import asyncpg
import typer
from rich.table import Table
from rich.text import Text

from cli.help_style import PLAIN_HELP
from cli.printing import AsJson, print_json, print_table
from cli.running import with_connection
from ledger.feed import entry_id, entry_number
from ledger.feed_entries import FEED_TYPES
from ledger.webhooks import (
    Delivery,
    Webhook,
    add_webhook,
    deliveries_page,
    log_test,
    remove_webhook,
    retry_deliveries,
    webhooks_of,
)
from runtime.errors import OperatorError
from runtime.receiver_addresses import ForbiddenReceiverError, check_receiver
from runtime.settings import load
from runtime.webhook_settings import WebhookSettings
from runtime.webhook_signatures import new_signing_keys, public_key_text, secret_text

app = typer.Typer(
    help="Addresses that are sent what happens: add, list, deliveries, retry, test, remove.",
    no_args_is_help=True,
    **PLAIN_HELP,
)

_OPERATORS_USER: Final = "operator"
_WEBHOOKS_MAX: Final = 1_000
_NEWEST: Final = 2**62

Id = Annotated[UUID, typer.Argument(help="The webhook, as `pay402 webhooks list` names it")]


@app.command()
def add(
    url: Annotated[str, typer.Argument(help="Where to send what happens")],
    user: Annotated[str, typer.Option(help="Whose events")] = _OPERATORS_USER,
    types: Annotated[list[str] | None, typer.Option("--type", help="Only events of this type; may be repeated")] = None,
    description: Annotated[str, typer.Option(help="A name for people")] = "",
    environment: Annotated[str, typer.Option(help="live or test")] = "live",
    as_json: AsJson = False,
) -> None:
    """Have what happens sent to an address. Its secret is shown this once.

    Example: pay402 webhooks add https://shop.example/hooks --user merchant --type request.paid
    """
    settings = load(WebhookSettings)
    if unknown := sorted(set(types or ()) - set(FEED_TYPES)):
        raise OperatorError(f"There is no type of events {unknown[0]!r}; give one of {', '.join(FEED_TYPES)}.")
    if environment not in {"live", "test"}:
        raise OperatorError("--environment is live or test; give one of them.")
    webhook_id, keys = uuid4(), new_signing_keys()

    async def work(connection: asyncpg.Connection) -> Webhook | None:
        try:
            await check_receiver(url, settings.receiver_policy)
        except ForbiddenReceiverError as error:
            raise OperatorError(str(error)) from None
        return await add_webhook(
            connection,
            webhook_id=webhook_id,
            user_id=user,
            environment=environment,
            url=url,
            types=types or None,
            description=description,
            keys=settings.webhook_seal.seal(webhook_id, keys),
            webhooks_max=_WEBHOOKS_MAX,
        )

    webhook = with_connection(work)
    if webhook is None:
        raise OperatorError(f"{user} has {_WEBHOOKS_MAX} webhooks; remove one.")
    secret, public_key = secret_text(keys), public_key_text(keys.public_key)
    if as_json:
        print_json({"id": webhook.id, "url": url, "user": user, "secret": secret, "publicKey": public_key})
    else:
        typer.echo(f"{webhook.id} is sent what happens for {user}.")
        typer.echo(f"secret      {secret}  (not shown again)")
        typer.echo(f"public key  {public_key}")


@app.command("list")
def list_(user: Annotated[str | None, typer.Option(help="Of one user alone")] = None, as_json: AsJson = False) -> None:
    """List webhooks, and which of them are in trouble.

    Example: pay402 webhooks list --user merchant
    """
    found = with_connection(lambda connection: webhooks_of(connection, user))
    if as_json:
        print_json([_listed(one) for one in found])
        return
    if not found:
        typer.echo("No webhooks yet; add one with `pay402 webhooks add URL`.")
        return
    table = Table("id", "user", "url", "types", "status", "since")
    for one in found:
        state = one.disabled_reason or ("failing" if one.failing_since else one.status)
        since = one.failing_since or one.created_at
        kinds = ", ".join(one.types) if one.types else "all"
        table.add_row(str(one.id), Text(one.user_id), Text(one.url), kinds, state, f"{since:%Y-%m-%d %H:%M}")
    print_table(table)


@app.command()
def deliveries(
    webhook: Id,
    status: Annotated[str | None, typer.Option(help="pending, delivered or failed")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    as_json: AsJson = False,
) -> None:
    """List what was sent to a webhook, newest first. Each shows what was answered.

    Example: pay402 webhooks deliveries 7c9e6679-7425-40de-944b-e07fc1f90ae7 --status pending
    """
    if status not in {None, "pending", "delivered", "failed"}:
        raise OperatorError("--status is pending, delivered or failed; give one of them.")

    async def work(connection: asyncpg.Connection) -> list[Delivery]:
        return await deliveries_page(connection, webhook, status=status, before=None, limit=limit)  # type: ignore[arg-type]

    found = with_connection(work)
    if as_json:
        print_json([{**_fields(one), "event_id": entry_id(one.feed_id)} for one in found])
        return
    table = Table("event", "type", "status", "tries", "answer", "ms", "error")
    for one in found:
        answered = (str(one.answer_status or ""), str(one.answer_ms or ""), Text(one.error or ""))
        table.add_row(entry_id(one.feed_id), one.type, one.status, str(one.tries), *answered)
    print_table(table)


@app.command()
def retry(
    webhook: Id,
    first: Annotated[str, typer.Argument(help="The event to send again, as evt_42, or the first of a range")],
    last: Annotated[str | None, typer.Option("--to", help="The last of the range, or `newest`")] = None,
    as_json: AsJson = False,
) -> None:
    """Send one event again, or a range of them. Those count too that a webhook missed while it was off.

    Example: pay402 webhooks retry 7c9e6679-7425-40de-944b-e07fc1f90ae7 evt_42 --to newest
    """
    start = entry_number(first)
    end = start if last is None else _NEWEST if last == "newest" else entry_number(last)
    if start is None or end is None:
        raise OperatorError("An event is named as evt_42; see `pay402 webhooks deliveries`.")
    count = with_connection(lambda connection: retry_deliveries(connection, webhook, from_number=start, to_number=end))
    if not count:
        raise OperatorError("There is no such webhook, or no such event of its user; see `pay402 webhooks list`.")
    print_json({"deliveries": count}) if as_json else typer.echo(f"{count} events are sent again.")


@app.command("test")
def send_test(webhook: Id, as_json: AsJson = False) -> None:
    """Send a test to a webhook; its deliveries show what came of it.

    Example: pay402 webhooks test 7c9e6679-7425-40de-944b-e07fc1f90ae7
    """
    if not with_connection(lambda connection: log_test(connection, webhook)):
        raise OperatorError("There is no such webhook, or it is switched off; see `pay402 webhooks list`.")
    print_json({"tested": webhook}) if as_json else typer.echo("A test is on its way.")


@app.command()
def remove(webhook: Id, as_json: AsJson = False) -> None:
    """Forget a webhook and its deliveries. The feed keeps what happened.

    Example: pay402 webhooks remove 7c9e6679-7425-40de-944b-e07fc1f90ae7
    """
    if not with_connection(lambda connection: remove_webhook(connection, webhook)):
        raise OperatorError("There is no such webhook; see `pay402 webhooks list`.")
    print_json({"removed": webhook}) if as_json else typer.echo("The webhook is removed.")


def _listed(webhook: Webhook) -> dict[str, Any]:
    return {**_fields(webhook), "public_key": public_key_text(webhook.public_key)}


def _fields(row: Webhook | Delivery) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__dataclass_fields__}
