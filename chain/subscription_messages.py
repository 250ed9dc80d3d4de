"""What a node sends over a PubSub socket, as far as LogsFeed reads it. Source: the Solana PubSub reference."""

from typing import Any, Final

import msgspec


class LogsValue(msgspec.Struct):
    """A transaction that names the account; `err` is None for one that succeeded."""

    signature: str
    err: Any = None


class Context(msgspec.Struct):
    """Where it landed."""

    slot: int


class Result(msgspec.Struct):
    """Of logs: `context` and `value`; of slots: `slot`."""

    context: Context | None = None
    value: LogsValue | None = None
    slot: int | None = None


class Params(msgspec.Struct):
    """What a notification carries, and for which subscription."""

    result: Result
    subscription: int


class ErrorBody(msgspec.Struct):
    """Why a request was refused."""

    code: int = 0
    message: str = ""


class Message(msgspec.Struct):
    """A notification has `method` and `params`; an answer has `id` and `result` or `error`."""

    method: str | None = None
    params: Params | None = None
    id: int | None = None
    result: Any = None
    error: ErrorBody | None = None


MESSAGE: Final = msgspec.json.Decoder(Message)
