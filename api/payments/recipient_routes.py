"""The wallets that are followed for a user."""

from typing import Annotated, Any

from fastapi import Depends, Path, Request
from pydantic import Field
from solders.pubkey import Pubkey
from solders.signature import Signature
from starlette.responses import Response

from api.access.caller import Caller
from api.access.callers import require
from api.http.errors import conflict, errors, forbidden, invalid, not_found, unavailable
from api.http.fields import EpochMs, ShortText
from api.http.json import Shape, answer, epoch_ms
from api.resources import resources
from api.routing.route import new_router
from chain.addresses import NotAWalletError, parse_address, slot_of_wallet
from chain.rpc import RpcError
from ledger.recipients import (
    Recipient,
    find_recipient,
    followed_from,
    recipients_of,
    register_wallet,
    registration_text,
    stop_following,
)

router = new_router(prefix="/recipients", tags=["Recipients"])


class RecipientOrder(Shape):
    """A wallet to follow."""

    address: str = Field(max_length=64, description="The wallet that is paid, not one of its token accounts")
    label: ShortText | None = None
    signature: str | None = Field(
        None,
        max_length=128,
        description="ed25519 by the wallet over `402pay recipient {address} for {userId}`, base58. "
        "Admins need none: a multisig or a program's address cannot sign.",
    )
    user_id: ShortText | None = Field(None, description="For admins: whose wallet it is")


class RecipientBody(Shape):
    """A wallet that is followed."""

    address: str
    user_id: str
    label: str | None
    followed_from_slot: int
    active: bool
    created_at: EpochMs


class RecipientList(Shape):
    """The caller's wallets."""

    recipients: list[RecipientBody]
    total: int


class RecipientRemoved(Shape):
    """What was done."""

    message: str
    address: str


@router.post("", response_model=RecipientBody, status_code=201, responses=errors(401, 403, 409))
async def post_recipient(
    request: Request, caller: Annotated[Caller, Depends(require("write"))], order: RecipientOrder
) -> Response:
    """Follow a wallet from now on. It takes the wallet's own signature, or an admin key."""
    parts = resources(request)
    address = parse_address(order.address)
    if address is None:
        raise invalid(f"{order.address!r} is not a Solana address; send the base58 address of a wallet.")
    user_id = order.user_id or caller.user_id
    if user_id != caller.user_id and not caller.is_admin:
        raise forbidden("Wallets of other users are registered by admins; leave userId out or use an admin key.")
    if not caller.is_admin or order.signature is not None:
        _check_signature(address, user_id, order.signature)
    try:
        slot = await slot_of_wallet(parts.node, address)
    except NotAWalletError as error:
        raise invalid(str(error), {"field": "address"}) from None
    except RpcError as error:
        raise unavailable("Solana node that checks the wallet") from error
    registration = await register_wallet(
        parts.database,
        address=address,
        user_id=user_id,
        label=order.label,
        followed_from_slot=followed_from(slot),
    )
    if registration is None:
        raise conflict("The wallet belongs to another user; a wallet has one.")
    return answer(_recipient(registration.recipient), 201)


def _check_signature(address: str, user_id: str, signature: str | None) -> None:
    text = registration_text(address, user_id)
    if signature is None:
        raise forbidden(f"Registering a wallet takes its ed25519 signature over {text!r}, or an admin key.")
    try:
        is_signed = Signature.from_string(signature).verify(Pubkey.from_string(address), text.encode())
    except ValueError:
        raise invalid("signature must be 64 bytes in base58; correct it.", {"field": "signature"}) from None
    if not is_signed:
        raise forbidden(f"The signature is not the wallet's over {text!r}; sign exactly that text.")


def _recipient(recipient: Recipient) -> dict[str, Any]:
    return {
        "address": recipient.address,
        "userId": recipient.user_id,
        "label": recipient.label,
        "followedFromSlot": recipient.followed_from_slot,
        "active": recipient.is_active,
        "createdAt": epoch_ms(recipient.created_at),
    }


@router.get("", response_model=RecipientList, responses=errors(401, 403))
async def get_recipients(request: Request, caller: Annotated[Caller, Depends(require("read"))]) -> Response:
    """List the caller's wallets; an admin sees everybody's."""
    parts = resources(request)
    whose = None if caller.is_admin else caller.user_id
    found = await recipients_of(parts.database, whose)
    listed = [{**_recipient(one.recipient), "tokenAccounts": one.token_accounts} for one in found]
    return answer({"recipients": listed, "total": len(listed)})


@router.delete("/{address}", response_model=RecipientRemoved, responses=errors(401, 403, 404))
async def delete_recipient(
    request: Request,
    caller: Annotated[Caller, Depends(require("write"))],
    address: Annotated[str, Path(max_length=64)],
) -> Response:
    """Stop following a wallet; what the ledger holds of it stays."""
    parts = resources(request)
    recipient = await find_recipient(parts.database, address) if parse_address(address) == address else None
    if recipient is None or not recipient.is_active or not caller.sees(recipient.user_id):
        raise not_found("The wallet")
    await stop_following(parts.database, address)
    return answer({"message": "The wallet is no longer followed; the ledger keeps what it has.", "address": address})
