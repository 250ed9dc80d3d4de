"""The audit as pages: every followed account with one light, what is known of one, and having it healed."""

from collections.abc import Sequence
from typing import Annotated, Final, Literal
from urllib.parse import quote, urlencode

from fastapi import Path, Query, Request
from starlette.responses import RedirectResponse, Response

from api.access.callers import sent_session
from api.console.accounts import (
    CHANGES_MAX,
    FollowedAccount,
    followed_account,
    followed_accounts,
    proof_of_account,
)
from api.console.context import Console
from api.console.forms import posted_form
from api.console.pages import PAGE_HEADERS
from api.console.visitors import AdminVisitor, Visitor
from api.console.wholeness import wholeness_for
from api.http.errors import invalid
from api.operations.order_routes import (
    BackfillOrder,
    backfill_job_id,
    order_backfill,
    state_of_job,
)
from api.routing.route import new_router
from chain.addresses import parse_address
from ledger.index_requests import unfinished_backfill

router = new_router("/console/audit", is_documented=False)

_SHOWN: Final = 50
AccountAddress = Annotated[str, Path(max_length=64)]


@router.get("")
async def list_accounts(
    request: Request,
    context: Console,
    caller: Visitor,
    show: Literal["", "doubt"] = "",
    after: Annotated[str, Query(max_length=128)] = "",
) -> Response:
    """List the followed accounts, wallet by wallet."""
    found = await followed_accounts(
        context.payments, caller, after=_place(after), in_doubt=show == "doubt", limit=_SHOWN + 1
    )
    accounts = found[:_SHOWN]
    return context.pages.page(
        request,
        "accounts.html",
        caller=caller,
        accounts=accounts,
        chosen=show,
        wholeness=await wholeness_for(context.operations, caller),
        first_link=_list_link(show, None) if after else None,
        next_link=_list_link(show, accounts) if len(found) > _SHOWN else None,
    )


def _place(after: str) -> tuple[str, str] | None:
    """The wallet and the account that `after` names. Raises ApiError 400."""
    if not after:
        return None
    wallet, _, address = after.partition("-")
    if parse_address(wallet) is None or parse_address(address) is None:
        raise invalid("after is the place of no account; start without it.", {"field": "after"})
    return wallet, address


def _list_link(show: str, shown: Sequence[FollowedAccount] | None) -> str:
    after = f"{shown[-1].wallet}-{shown[-1].address}" if shown else ""
    query = urlencode({name: value for name, value in (("show", show), ("after", after)) if value})
    return f"/console/audit?{query}" if query else "/console/audit"


@router.get("/{address}")
async def show_account(
    request: Request,
    context: Console,
    caller: Visitor,
    address: AccountAddress,
    order: Annotated[str, Query(max_length=64)] = "",
) -> Response:
    """Show how far an account is proven, where changes are missing, and who heals it."""
    account = await followed_account(context.payments, caller, address)
    under_way = await unfinished_backfill(context.payments.database, account.wallet)
    job_id = backfill_job_id(under_way) if under_way is not None else order
    job = await state_of_job(context.operations, job_id) if job_id and caller.is_admin else None
    states = await context.operations.probes.states()
    return context.pages.page(
        request,
        "account.html",
        caller=caller,
        account=account,
        proof=await proof_of_account(context.payments, account),
        # How an order stands is the operator's to see, as over the API.
        job=job if job is not None and job.kind == "backfill" else None,
        is_under_way=under_way is not None,
        indexer_lives=states.indexer.status == "ok",
        changes_max=CHANGES_MAX,
    )


@router.post("/{address}/heal")
async def heal_account(request: Request, context: Console, caller: AdminVisitor, address: AccountAddress) -> Response:
    """Have the history of an account's wallet walked again, unless that is under way."""
    await posted_form(request, sent_session(request))
    account = await followed_account(context.payments, caller, address)
    under_way = await unfinished_backfill(context.payments.database, account.wallet)
    if under_way is not None:
        job_id = backfill_job_id(under_way)
    else:
        order = BackfillOrder.model_validate({"recipient": account.wallet})
        job_id = (await order_backfill(context.operations, caller, order)).job_id
    here = f"/console/audit/{quote(account.address, safe='')}?{urlencode({'order': job_id})}"
    return RedirectResponse(here, 303, PAGE_HEADERS)
