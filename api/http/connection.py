"""Bounds on what a connection may make us keep and wait for; the server itself sets none.

nginx in front of us sets its own, but the process must not depend on what stands before it.
"""

import asyncio
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.http.errors import ApiError, invalid
from api.http.lingering import LingeringConnections, LingeringTransport
from api.http.middleware import HEADERS_OF_EVERY_ANSWER

HEAD_BYTES_MAX: Final = 32_768
HEADERS_MAX: Final = 100
# A body of 1 MB in chunks of a few bytes each is twice as long; an honest client sends none like it.
MESSAGE_BYTES_MAX: Final = 2_000_000
# The layers above answer a body that is late; after that the connection goes.
_GRACE_SECONDS: Final = 2.0


class _Phase(Enum):
    """What of a request is being read."""

    NOTHING = auto()
    HEAD = auto()
    BODY = auto()


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a caller may take: to send a head, to send a body, to read an answer."""

    head_seconds: float
    body_seconds: float
    unread_seconds: float


class BoundedConnection(HttpToolsProtocol):
    """A connection that is closed when its caller is too slow or sends too much.

    Most requests arrive in one piece: they are measured, and no timer is set for them.
    """

    patience: Patience
    lingering_connections: LingeringConnections

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._phase = _Phase.NOTHING
        self._received = 0
        self._refusal: ApiError | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._awaited = _Phase.NOTHING
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the head of the first request."""
        self._lingering = LingeringTransport(
            transport, self.lingering_connections, lambda: self._phase is _Phase.BODY, self.patience.body_seconds
        )
        super().connection_made(cast("asyncio.Transport", self._lingering))
        self._await(_Phase.HEAD)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._disarm()
        self._lingering.forget()
        if self._unread is not None:
            self._unread.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, within bounds of size and time."""
        if self._lingering.is_lingering:
            self._lingering.discard(data)
            return
        self._received += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            self._disarm()
        elif self._phase is _Phase.HEAD and self._received > HEAD_BYTES_MAX:
            self._refuse(_head_too_large())
        elif self._phase is _Phase.BODY and self._received > MESSAGE_BYTES_MAX:
            self._refuse_body()
        elif self._phase is not _Phase.NOTHING:
            self._await(self._phase)
        elif self.timeout_keep_alive_task is None and (self.cycle is None or self.cycle.response_complete):
            # Line ends between requests are no request, and have stopped the timer of the idle.
            self._await(_Phase.HEAD)
        else:
            self._disarm()

    def on_message_begin(self) -> None:
        """Measure a new request."""
        self._phase = _Phase.HEAD
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header of the head. A header after the body is dropped, since proxies before us do not check those."""
        if self._phase is not _Phase.HEAD:
            return
        if len(self.headers) >= HEADERS_MAX:
            self._refusal = _head_too_large()
            raise self._refusal
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Serve the request, unless its head is too large."""
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > HEAD_BYTES_MAX:
            self._refusal = _head_too_large()
            raise self._refusal
        super().on_headers_complete()
        self._phase = _Phase.BODY

    def on_message_complete(self) -> None:
        """The request is here."""
        self._phase = _Phase.NOTHING
        self._received = 0
        self._disarm()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be served, in the form of every error, and hang up."""
        self._refuse(self._refusal or invalid(f"{msg.rstrip('.')}; send HTTP/1.1 as RFC 9112 has it."))

    def _unsupported_upgrade_warning(self) -> None:
        # The request is answered as what it is without the upgrade; two lines in the log for each would drown others.
        pass

    def pause_writing(self) -> None:
        """Answers pile up: whoever asks has to read them."""
        super().pause_writing()
        self._unread = self.loop.call_later(self.patience.unread_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Answers are read again."""
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        super().resume_writing()

    def _await(self, phase: _Phase) -> None:
        """Hang up unless what is awaited arrives in time; the time is not extended by calling this again."""
        if self._deadline is not None and self._awaited is phase:
            return
        self._disarm()
        self._awaited = phase
        patience = self.patience
        seconds = patience.head_seconds if phase is _Phase.HEAD else patience.body_seconds + _GRACE_SECONDS
        self._deadline = self.loop.call_later(seconds, self._expire)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expire(self) -> None:
        self._deadline = None
        if self.flow.read_paused:
            # It is we who do not read on, until what came before is answered.
            self._await(self._awaited)
        elif self._phase is _Phase.HEAD:
            seconds = self.patience.head_seconds
            self._refuse(
                ApiError(408, "REQUEST_TIMEOUT", f"No request arrived within {seconds:g} seconds; send it again.")
            )
        else:
            self.transport.close()

    def _refuse_body(self) -> None:
        """Read no more of it."""
        if self.cycle.response_complete:
            self.transport.close()
        else:
            self._refuse(ApiError(413, "PAYLOAD_TOO_LARGE", "The body comes in too many pieces; send it in one."))

    def _refuse(self, error: ApiError) -> None:
        """Answer what is being read, and hang up. Where an answer is under way, nothing may be put in between."""
        self._disarm()
        if self._may_answer():
            answer = error.response()
            answer.headers.update({**HEADERS_OF_EVERY_ANSWER, "Connection": "close"})
            head = b"".join(name + b": " + value + b"\r\n" for name, value in answer.raw_headers)
            self.transport.write(b"HTTP/1.1 %d Refused\r\n" % error.status + head + b"\r\n" + bytes(answer.body))
        if self.cycle is not None:
            # Whatever works on it learns that nobody waits any more.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

    def _may_answer(self) -> bool:
        if self._phase is _Phase.BODY:
            # The request itself, once: it may have been answered before its body was here.
            return not self.pipeline and not self.cycle.response_started
        return self.cycle is None or self.cycle.response_complete


def bounded(patience: Patience) -> type[HttpToolsProtocol]:
    """The class of connections with this patience, for one process: they share the bound on those that linger."""
    attributes = {"patience": patience, "lingering_connections": LingeringConnections()}
    return type("PatientConnection", (BoundedConnection,), attributes)


def _head_too_large() -> ApiError:
    return ApiError(
        431, "HEADERS_TOO_LARGE", f"The head is larger than {HEAD_BYTES_MAX} bytes or {HEADERS_MAX} lines; send less."
    )
