"""The localnet as a server: JSON-RPC over HTTP on one port, PubSub on the next and on the same."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from aiohttp import web
from websockets.asyncio.server import Server
from websockets.asyncio.server import serve as serve_sockets

from localnet.chain import Chain
from localnet.faults import Faults, Hazard
from localnet.front import BODY_BYTES_MAX, FrontConnection, HttpFront, SocketFront
from localnet.pubsub import PubSub
from localnet.rpc import Rpc
from localnet.sockets import WAITING_MESSAGES_MAX

HOST: Final = "127.0.0.1"
_PORT_ATTEMPTS: Final = 100
_SHUTDOWN_SECONDS: Final = 1.0
_CLOSE_SECONDS: Final = 0.5


class Localnet:
    """A running localnet: where it listens, its `chain`, and the `hazard` that decides on its faults."""

    def __init__(self, chain: Chain, hazard: Hazard, pubsub: PubSub, port: int) -> None:
        self.chain = chain
        self.hazard = hazard
        self.pubsub = pubsub
        self.port = port

    @property
    def rpc_url(self) -> str:
        """JSON-RPC over HTTP; PubSub answers there too."""
        return f"http://{HOST}:{self.port}"

    @property
    def ws_url(self) -> str:
        """PubSub."""
        return f"ws://{HOST}:{self.port + 1}"

    @property
    def faults(self) -> Faults:
        """The faults in force."""
        return self.hazard.faults

    def set_faults(self, changes: dict[str, Any] | None) -> None:
        """As `localnet_setFaults`: merge, or reset with None. Raises ValueError for what it does not know."""
        self.hazard.set(changes)

    @classmethod
    @contextlib.asynccontextmanager
    async def start(
        cls,
        *,
        port: int = 0,
        slot_seconds: float | None = 0.4,
        confirm_slots: int = 1,
        finalize_slots: int = 32,
        skip_rate: float = 0.0,
        root_stride: int = 1,
        seed: int = 0,
        pubsub_limit: int | None = None,
        max_waiting_messages: int = WAITING_MESSAGES_MAX,
        accept_batches: bool = True,
        clock: Callable[[], float] = time.time,
        chain: Chain | None = None,
    ) -> AsyncIterator["Localnet"]:
        """Run until the `async with` block ends, on the loopback interface only.

        `port` 0 takes two free consecutive ports. With `slot_seconds` None slots tick only by `chain.tick()`
        or `localnet_tick`. `pubsub_limit` bounds the subscriptions of one connection, `max_waiting_messages`
        how far its reader may fall behind. See Chain for the rest. Raises OSError where a port is taken.

        With `chain`, that of a localnet that runs already, this is one more node of its cluster, with faults of
        its own; whoever started the first node keeps the pace.
        """
        if chain is None:
            chain = Chain(
                confirm_slots=confirm_slots,
                finalize_slots=finalize_slots,
                skip_rate=skip_rate,
                root_stride=root_stride,
                seed=seed,
                clock=clock,
            )
        else:
            slot_seconds = None
        hazard = Hazard(seed)
        pubsub = PubSub(chain, pubsub_limit)
        rpc = Rpc(chain, hazard, {"localnet_closeSockets": lambda _: pubsub.cut_all()})
        http = HttpFront(rpc, hazard, accept_batches=accept_batches)
        sockets = SocketFront(pubsub, hazard, max_waiting_messages)
        listening = _listen(port)
        runner = web.AppRunner(
            _application(http), access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_SECONDS
        )
        await runner.setup()
        assert runner.server is not None, "the runner is set up"
        front = FrontConnection.beside(runner.server)
        servers = [await _serve_both(front, sockets, one) for one in listening]
        pace = None if slot_seconds is None else asyncio.create_task(_tick_for_ever(chain, slot_seconds))
        try:
            yield cls(chain, hazard, pubsub, listening[0].getsockname()[1])
        finally:
            if pace is not None:
                pace.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await pace
            http.stop()
            chain.listeners.remove(pubsub)
            for server in servers:
                server.close()
            await runner.cleanup()
            front.drop_undecided()
            await asyncio.gather(*(server.wait_closed() for server in servers))


async def serve(ready: Callable[[Localnet], None], **settings: Any) -> None:
    """Run a localnet until cancelled; `settings` are those of Localnet.start, `ready` is called once it listens."""
    async with Localnet.start(**settings) as net:
        ready(net)
        await asyncio.Event().wait()


def _application(http: HttpFront) -> web.Application:
    application = web.Application(client_max_size=BODY_BYTES_MAX)
    application.router.add_post("/", http.post)
    application.router.add_get("/health", _health)
    return application


async def _serve_both(front: type[FrontConnection], sockets: SocketFront, listening: socket.socket) -> Server:
    """PubSub on `listening`, and HTTP by the same connections."""
    return await serve_sockets(
        sockets.serve,
        sock=listening,
        create_connection=front,
        compression=None,
        ping_interval=None,
        close_timeout=_CLOSE_SECONDS,
        max_size=BODY_BYTES_MAX,
    )


async def _health(_: web.Request) -> web.Response:
    return web.Response(text="ok")


async def _tick_for_ever(chain: Chain, slot_seconds: float) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        # Where a tick was late the next ones are not hurried: no slot is shorter than this.
        due = max(due + slot_seconds, loop.time())
        await asyncio.sleep(due - loop.time())
        chain.tick()


def _listen(port: int) -> list[socket.socket]:
    """Sockets bound to `port` and the next; with 0, to any two free ports in a row. Raises OSError."""
    for _ in range(_PORT_ATTEMPTS if port == 0 else 1):
        first = _bind(port)
        try:
            return [first, _bind(first.getsockname()[1] + 1)]
        except (OSError, OverflowError):
            first.close()
            if port:
                raise
    raise OSError(f"no two free consecutive ports found in {_PORT_ATTEMPTS} attempts")


def _bind(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HOST, port))
    except BaseException:
        listening.close()
        raise
    return listening
