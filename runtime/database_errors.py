"""What a failure of the database means: it is away, it refuses us, or we asked something wrong.

The one place that decides. PostgreSQL says it by SQLSTATE (appendix A of its manual); asyncpg has failures of its own
for what happens on our side of the connection.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import asyncpg
import structlog
from prometheus_client import CollectorRegistry, Counter

from runtime.errors import OperatorError

_log = structlog.get_logger(__name__)


class DatabaseAwayError(ConnectionError):
    """The server is out of reach or did not answer in time; the cause is what the operating system or the clock said.

    Connections of ours raise it, see `database_connection`. Any other OSError is nothing that the database did.
    """


DATABASE_ERRORS: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    # What is asked between the server's last word and the end of its connection fails as if asyncpg were broken.
    asyncpg.InternalClientError,
    DatabaseAwayError,
)
"""Everything that a statement of ours can raise. Catch it, then ask `trouble_of` what it means."""


class DatabaseTrouble(StrEnum):
    """What a failure means for whoever meets it."""

    AWAY = "away"
    """The server is out of reach, starting, full, or gave way to another transaction: try again soon."""
    REFUSED = "refused"
    """The server answers and will not do it: rights, read-only, another schema. It lasts until an operator acts."""
    DEFECT = "defect"
    """We asked what can never succeed, a broken state transition for example. Trying again changes nothing."""


# SQLSTATEs about which operators are told more than that the database refuses.
NO_RIGHT: Final = "42501"
READ_ONLY: Final = "25006"
NO_SUCH_SETTING: Final = "42704"
WRONG_LOGIN: Final = frozenset({"28000", "28P01"})
POOLED_SESSIONS: Final = frozenset({"26000", "42P05"})  # a prepared statement is missing, or there twice

_AWAY_CLASSES: Final = frozenset(
    {
        "08",  # connection exception
        "40",  # transaction rollback: deadlock, serialization
        "53",  # insufficient resources
        "57",  # operator intervention: shutdown, cancelled, starting
        "58",  # system error outside of PostgreSQL
        "72",  # snapshot too old
    }
)
_REFUSED_CLASSES: Final = frozenset(
    {
        "0A",  # feature not supported: an older server
        "28",  # invalid authorization
        "3D",  # no such database
        "3F",  # no such schema
        "F0",  # the server's configuration file
        "XX",  # the server's own inconsistency, damaged files included
    }
)
# Codes that mean something else than the rest of their class.
_BY_CODE: Final = {
    READ_ONLY: DatabaseTrouble.REFUSED,  # read-only: a replica, or a server that was failed over
    "25P03": DatabaseTrouble.AWAY,  # idle in a transaction for too long
    "25P04": DatabaseTrouble.AWAY,  # the transaction took too long
    "26000": DatabaseTrouble.REFUSED,  # the prepared statement is another connection's: a pooler swaps them
    "40002": DatabaseTrouble.DEFECT,  # a deferred constraint is broken
    NO_RIGHT: DatabaseTrouble.REFUSED,  # no right to do it
    "42703": DatabaseTrouble.REFUSED,  # no such column
    NO_SUCH_SETTING: DatabaseTrouble.REFUSED,  # no such type or setting
    "42883": DatabaseTrouble.REFUSED,  # no such function
    "42P01": DatabaseTrouble.REFUSED,  # no such table
    "42P05": DatabaseTrouble.REFUSED,  # the prepared statement exists: a pooler swaps connections
    "55000": DatabaseTrouble.REFUSED,  # not in the state for it, as a standby that is recovering
    "55006": DatabaseTrouble.AWAY,  # in use
    "55P03": DatabaseTrouble.AWAY,  # a lock was not to be had in time
    "57P04": DatabaseTrouble.REFUSED,  # the database was dropped
}
# asyncpg has one class for a connection that is gone and for calls that can never succeed; its words tell them apart.
_GONE: Final = re.compile(r"(?:connection|pool) (?:is|was) clos|released back")


def sqlstate_of(error: BaseException) -> str | None:
    """What PostgreSQL calls the failure, five characters; None where it is not the server's word."""
    return getattr(error, "sqlstate", None)


def trouble_of(error: BaseException) -> DatabaseTrouble:
    """What `error` means, by its SQLSTATE or, without one, by its class.

    A sentence for operators means what its cause does; one without a cause is a refusal, such as of an old server.
    Anything that is no failure of the database or of the way to it is a defect.
    """
    if isinstance(error, OperatorError):
        return DatabaseTrouble.REFUSED if error.__cause__ is None else trouble_of(error.__cause__)
    if isinstance(error, asyncpg.PostgresError):
        return _by_sqlstate(sqlstate_of(error) or "")
    return _by_class(error)


def _by_class(error: BaseException) -> DatabaseTrouble:
    if isinstance(error, ValueError):
        return DatabaseTrouble.DEFECT  # a value of ours that a parameter cannot take
    if isinstance(error, asyncpg.UnsupportedClientFeatureError | asyncpg.UnsupportedServerFeatureError):
        return DatabaseTrouble.REFUSED
    if isinstance(error, asyncpg.InterfaceError):
        return DatabaseTrouble.AWAY if _GONE.search(str(error)) else DatabaseTrouble.DEFECT
    if isinstance(error, asyncpg.InternalClientError | DatabaseAwayError):
        return DatabaseTrouble.AWAY
    return DatabaseTrouble.DEFECT


def _by_sqlstate(code: str) -> DatabaseTrouble:
    if code in _BY_CODE:
        return _BY_CODE[code]
    if code[:2] in _AWAY_CLASSES:
        return DatabaseTrouble.AWAY
    return DatabaseTrouble.REFUSED if code[:2] in _REFUSED_CLASSES else DatabaseTrouble.DEFECT


def is_defect(error: BaseException) -> bool:
    """True when `error` is ours: no outage, and no help in trying it again."""
    return trouble_of(error) is DatabaseTrouble.DEFECT


_PAUSE_SECONDS: Final = {DatabaseTrouble.AWAY: 0.5, DatabaseTrouble.REFUSED: 5.0, DatabaseTrouble.DEFECT: 60.0}


class DatabaseTroubles:
    """Counts and logs what the failures of the loops of one process mean, the database's and its own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._errors = Counter(
            "pay402_database_errors_total",
            "Failures: the database is away, it refuses us, or it is a defect of ours",
            ["kind"],
            registry=registry,
        )
        for kind in DatabaseTrouble:
            # A counter that begins with its first failure shows Prometheus no increase.
            self._errors.labels(kind.value)

    def note(self, during: str, error: BaseException, **context: object) -> float:
        """Count a failure and log it as `database_away`, `database_refused` or `database_defect`.

        Args:
            during: What could not be done, in a few words.
            error: One of `DATABASE_ERRORS`, or an OperatorError whose cause is one.
            context: What else the line carries.

        Returns:
            After how many seconds it is sensible to try again: soon after an outage, a minute after a defect.
        """
        kind = trouble_of(error)
        if kind is DatabaseTrouble.DEFECT:
            return self._note_defect("database_defect", during, error, context)
        self._errors.labels(kind.value).inc()
        reason = _first_line(error)
        if kind is DatabaseTrouble.REFUSED:
            hint = "run `pay402 doctor`: the database refuses this until an operator acts"
            _log.error("database_refused", during=during, error=reason, hint=hint, **context)
        else:
            _log.warning("database_away", during=during, error=reason, **context)
        return _PAUSE_SECONDS[kind]

    def note_defect(self, during: str, error: BaseException, **context: object) -> float:
        """Count a failure that is no trouble of anything we work with, and log it as `defect` with its traceback.

        Arguments and result are those of `note`; `error` is whatever else a loop met.
        """
        return self._note_defect("defect", during, error, context)

    def _note_defect(self, event: str, during: str, error: BaseException, context: Mapping[str, object]) -> float:
        self._errors.labels(DatabaseTrouble.DEFECT.value).inc()
        _log.error(event, during=during, error=_first_line(error), **context, exc_info=error)
        return _PAUSE_SECONDS[DatabaseTrouble.DEFECT]


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
