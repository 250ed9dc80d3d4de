"""PubSub: subscriptions, and who is notified of what."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

import msgspec
from solders.pubkey import Pubkey

from localnet.account_json import AccountEncoder
from localnet.blocks import Block, Commitment
from localnet.chain import Chain
from localnet.encoding import Executed
from localnet.errors import INTERNAL_ERROR, METHOD_NOT_FOUND, RpcError, invalid_params
from localnet.params import Params, pubkey
from localnet.rpc import Request
from localnet.sockets import Socket

# Subscriptions of one kind that hear of the same thing: ("logs", address or None for all, commitment),
# ("signature", signature, commitment), ("account", address, commitment), ("slot",) and ("root",).
Topic = tuple[Any, ...]

_KINDS: Final = ("logs", "signature", "account", "slot", "root")


@dataclass(slots=True, eq=False)
class Subscription:
    """One subscription of one connection; `encoder` is set for accounts only."""

    id: int
    kind: str
    topic: Topic
    socket: Socket
    encoder: AccountEncoder | None = None


class PubSub:
    """Every subscription of the node; listens to the chain.

    `max_subscriptions` bounds those of one connection (None: no bound).
    """

    def __init__(self, chain: Chain, max_subscriptions: int | None = None) -> None:
        self._chain = chain
        self._max = max_subscriptions
        self._ids = count(1)
        self._topics: dict[Topic, dict[int, Subscription]] = {}
        self._of_socket: dict[Socket, dict[int, Subscription]] = {}
        chain.listeners.append(self)

    # --- connections

    def opened(self, socket: Socket) -> None:
        """A connection came."""
        self._of_socket[socket] = {}

    def gone(self, socket: Socket) -> None:
        """A connection went, and its subscriptions with it."""
        for subscription in list(self._of_socket.get(socket, {}).values()):
            self._remove(subscription)
        self._of_socket.pop(socket, None)

    def cut_all(self) -> int:
        """Cut every connection; answers how many there were."""
        sockets = list(self._of_socket)
        for socket in sockets:
            socket.cut()
        return len(sockets)

    def call(self, socket: Socket, request: Request) -> tuple[Any, Subscription | None]:
        """Answer a request: (result, the new subscription if it is one). Raises RpcError."""
        for kind in _KINDS:
            if request.method == f"{kind}Subscribe":
                subscription = self._subscribe(socket, kind, Params(request.params))
                return subscription.id, subscription
            if request.method == f"{kind}Unsubscribe":
                return self._unsubscribe(socket, Params(request.params)), None
        raise RpcError(METHOD_NOT_FOUND, "Method not found")

    def catch_up(self, subscription: Subscription) -> None:
        """Notify a new signature subscription at once of what has already come to pass."""
        if subscription.kind == "signature":
            _, signature, commitment = subscription.topic
            executed = self._chain.find(signature)
            if executed is not None and executed.slot <= self._chain.slot(commitment):
                self._signature(executed, commitment)

    # --- what the chain reports

    def on_processed(self, executed: Executed) -> None:
        """A transaction landed."""
        self._transaction(executed, "processed")
        for address in executed.keys:
            self._account(address, executed.slot, "processed")

    def on_slot(self, slot: int, parent: int, root: int) -> None:
        """A slot opened."""
        self._broadcast(("slot",), {"slot": slot, "parent": parent, "root": root})

    def on_confirmed(self, block: Block) -> None:
        """A block was confirmed."""
        self._block(block, "confirmed")

    def on_finalized(self, block: Block) -> None:
        """A block was finalized."""
        self._block(block, "finalized")
        self._broadcast(("root",), block.slot)

    def _block(self, block: Block, commitment: Commitment) -> None:
        for executed in block.transactions:
            self._transaction(executed, commitment)
        for address in block.before:
            self._account(address, block.slot, commitment)

    def _transaction(self, executed: Executed, commitment: Commitment) -> None:
        topics: list[Topic] = [("logs", None, commitment)]
        topics += [("logs", key, commitment) for key in executed.keys]
        subscriptions = [one for topic in topics for one in self._topics.get(topic, {}).values()]
        if subscriptions:
            value = {
                "signature": executed.signature,
                "err": executed.err,
                "logs": executed.metadata.logs(),
            }
            self._notify(subscriptions, _in_context(executed.slot, value))
        self._signature(executed, commitment)

    def _signature(self, executed: Executed, commitment: Commitment) -> None:
        subscriptions = list(self._topics.get(("signature", executed.signature, commitment), {}).values())
        if subscriptions:
            self._notify(subscriptions, _in_context(executed.slot, {"err": executed.err}))
            for subscription in subscriptions:  # a signature is notified once
                self._remove(subscription)

    def _account(self, address: Pubkey, slot: int, commitment: Commitment) -> None:
        subscriptions = self._topics.get(("account", address, commitment))
        if not subscriptions:
            return
        account = self._chain.account(address, slot)
        for subscription in list(subscriptions.values()):
            assert subscription.encoder is not None, "account subscriptions have one"
            if account is None:  # what a node shows of an account that is no more
                value = {
                    "data": ["", "base64"],
                    "executable": False,
                    "lamports": 0,
                    "owner": str(Pubkey.default()),
                    "rentEpoch": 0,
                    "space": 0,
                }
            else:
                value = subscription.encoder.encode(account)
            self._notify([subscription], _in_context(slot, value))

    def _broadcast(self, topic: Topic, result: Any) -> None:
        self._notify(list(self._topics.get(topic, {}).values()), result)

    @staticmethod
    def _notify(subscriptions: Iterable[Subscription], result: Any) -> None:
        body: bytes | None = None
        for subscription in subscriptions:
            if body is None:  # encoded once for all who hear of it
                body = msgspec.json.encode(result)
            kind = f"{subscription.kind}Notification"
            message = b'{"jsonrpc":"2.0","method":"%s","params":{"result":%s,"subscription":%d}}' % (
                kind.encode(),
                body,
                subscription.id,
            )
            subscription.socket.notify(message, kind)

    # --- subscribing

    def _subscribe(self, socket: Socket, kind: str, params: Params) -> Subscription:
        topic, encoder = self._topic(kind, params)
        mine = self._of_socket[socket]
        if self._max is not None and len(mine) >= self._max:
            raise RpcError(
                INTERNAL_ERROR,
                "Internal Error: Subscription refused. Node subscription limit reached",
            )
        # A node gives one connection one id for the same subscription asked twice; nobody relies on it.
        subscription = Subscription(next(self._ids), kind, topic, socket, encoder)
        mine[subscription.id] = subscription
        self._topics.setdefault(topic, {})[subscription.id] = subscription
        return subscription

    def _topic(self, kind: str, params: Params) -> tuple[Topic, AccountEncoder | None]:
        if kind in {"slot", "root"}:
            return (kind,), None
        if kind == "logs":
            mentioned = _mentioned(params.required(0))
            return ("logs", mentioned, params.config(1).commitment()), None
        if kind == "signature":
            return ("signature", params.signature(0), params.config(1).commitment()), None
        config = params.config(1)
        encoder = AccountEncoder(config, self._chain.account)
        return ("account", params.pubkey(0), config.commitment()), encoder

    def _unsubscribe(self, socket: Socket, params: Params) -> bool:
        subscription = self._of_socket[socket].get(params.integer(0))
        if subscription is None:
            raise invalid_params("Invalid subscription id.")
        self._remove(subscription)
        return True

    def _remove(self, subscription: Subscription) -> None:
        self._of_socket.get(subscription.socket, {}).pop(subscription.id, None)
        subscribed = self._topics.get(subscription.topic, {})
        subscribed.pop(subscription.id, None)
        if not subscribed:
            self._topics.pop(subscription.topic, None)


def _mentioned(wanted: Any) -> Pubkey | None:
    if wanted in ("all", "allWithVotes"):
        return None
    if isinstance(wanted, dict) and isinstance(wanted.get("mentions"), list):
        addresses = wanted["mentions"]
        if len(addresses) != 1:
            raise invalid_params("Invalid Request: Only 1 address supported")
        return pubkey(addresses[0])
    raise invalid_params("Invalid params: unknown filter, expected one of `all`, `allWithVotes`, `mentions`.")


def _in_context(slot: int, value: Any) -> dict[str, Any]:
    return {"context": {"slot": slot}, "value": value}
