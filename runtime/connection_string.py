"""DATABASE_URL as providers hand it out: each parameter is honoured, or left out by its name.

asyncpg sends every parameter that it does not know to the server as a setting, which the server then refuses; libpq's
programs refuse what they do not know. So what other drivers and poolers understand is taken out here.
"""

import re
import ssl
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

from runtime.errors import OperatorError

UNCLEAR: Final = "the address that is set"
"""What is said instead of the place of an address that cannot be taken apart."""

# asyncpg and libpq understand these alike.
_PASSED_ON: Final = frozenset(
    {
        "host", "port", "user", "password", "dbname", "passfile", "service", "sslmode", "sslcert", "sslkey",
        "sslpassword", "sslrootcert", "sslcrl", "ssl_min_protocol_version", "ssl_max_protocol_version",
        "sslnegotiation", "target_session_attrs", "krbsrvname", "gsslib", "options",
    }
)  # fmt: skip
# What asyncpg has no use for, or does in its own way, and what other drivers and poolers read.
_LEFT_OUT: Final = frozenset(
    {
        "application_name", "fallback_application_name", "client_encoding", "channel_binding", "gssencmode",
        "gssdelegation", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count",
        "tcp_user_timeout", "load_balance_hosts", "require_auth", "requirepeer", "sslcertmode", "sslcompression",
        "sslsni", "sslidentity", "hostaddr", "replication", "min_protocol_version", "max_protocol_version",
        "connection_limit", "pool_timeout", "pool_size", "max_pool_size", "pool_mode", "pool", "max_conns",
        "maxconn", "pgbouncer", "statement_cache_size", "prepared_statement_cache_size", "prepared_statements",
        "prepareThreshold", "prepare_threshold", "default_query_exec_mode", "socket_timeout", "socketTimeout",
        "connectTimeout", "loginTimeout", "tcpKeepAlive", "ApplicationName", "reWriteBatchedInserts",
        "uselibpqcompat", "workaround", "supa",
    }
)  # fmt: skip
_CONNECT_SECONDS_MAX: Final = 300.0
_NAME: Final = re.compile(r"[A-Za-z_][\w.]*")


@dataclass(frozen=True, slots=True)
class ConnectionString:
    """What an address says, ready for asyncpg and for libpq.

    Attributes:
        dsn: The address for asyncpg, with the parameters that it understands; it carries the password.
        libpq_dsn: The same for libpq and its programs.
        tls: The TLS context where the system's certificates are asked for; `None` leaves it to the address.
        connect_timeout_seconds: How long connecting may take, where the address says so.
        server_settings: Settings of the session that the address carries, such as `search_path`.
        left_out: Names of parameters that change nothing here.
    """

    dsn: str
    libpq_dsn: str
    tls: ssl.SSLContext | None
    connect_timeout_seconds: float | None
    server_settings: dict[str, str]
    left_out: tuple[str, ...]


def read_connection_string(address: str) -> ConnectionString:
    """Take an address apart.

    Raises:
        OperatorError: It cannot be used. The sentence holds no piece of it but the name of a parameter.
    """
    if place(address) == UNCLEAR:
        raise OperatorError(
            "DATABASE_URL is no usable address of a database; write it as "
            "postgresql://user:password@host:port/database, with / # ? and @ in a password as %2F %23 %3F %40."
        )
    parts = urlsplit(address)
    user, at, host = parts.netloc.rpartition("@")
    # The last @ ends the password, as libpq reads it; asyncpg takes the first.
    parts = parts._replace(netloc=f"{user.replace('@', '%40')}{at}{host}")
    found = {name: value for name, value in parse_qsl(parts.query, keep_blank_values=True) if value}
    found |= _translated(found)
    timeout = _seconds(found.pop("connect_timeout", None))
    tls = None
    if found.get("sslrootcert") == "system":
        # libpq's word for the certificates of the operating system; it stands for the full check.
        del found["sslrootcert"]
        found["sslmode"] = "verify-full"
        tls = ssl.create_default_context()
    passed_on = {name: value for name, value in found.items() if name in _PASSED_ON}
    left_out = tuple(sorted(found.keys() & _LEFT_OUT))
    settings = {name: value for name, value in found.items() if name not in _PASSED_ON | _LEFT_OUT}

    def written(parameters: dict[str, str]) -> str:
        return joined(parts._replace(query=urlencode(parameters, quote_via=quote, safe="/,")))

    for_libpq = passed_on | ({"sslrootcert": "system"} if tls else {})
    return ConnectionString(written(passed_on), written(for_libpq), tls, timeout, settings, left_out)


def _translated(found: dict[str, str]) -> dict[str, str]:
    """Parameters of other drivers as libpq writes them; takes their own names out of `found`."""
    ours: dict[str, str] = {}
    if (database := found.pop("database", None)) is not None:
        ours["dbname"] = database
    for flag in ("ssl", "requiressl"):
        if found.pop(flag, "").lower() in {"true", "1", "require"} and "sslmode" not in found:
            ours["sslmode"] = "require"
    if found.pop("sslaccept", "") == "strict" and "sslmode" not in found:
        ours |= {"sslmode": "verify-full", "sslrootcert": found.get("sslrootcert", "system")}
    if found.get("sslmode") == "no-verify":  # node-postgres: encrypted, unchecked
        ours["sslmode"] = "require"
    for name in ("schema", "currentSchema"):
        if (schema := found.pop(name, "public")) != "public":
            raise OperatorError(
                f"DATABASE_URL asks for the schema {schema[:63]!r}, but the ledger lives in public; leave out {name}."
            )
    return ours


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        raise OperatorError("connect_timeout in DATABASE_URL is no number of seconds; correct it.") from None
    # libpq: zero and less wait for ever, which nothing of ours does.
    return min(max(seconds, 2.0), _CONNECT_SECONDS_MAX) if seconds > 0 else _CONNECT_SECONDS_MAX


def joined(parts: SplitResult) -> str:
    """The address of these parts, also where no host is in it: a path must follow two slashes all the same."""
    return f"{parts.scheme}://{parts.netloc}{parts.path}{'?' if parts.query else ''}{parts.query}"


def place(address: str) -> str:
    """Host, port and database of an address, for people; never user or password, nor a piece of them."""
    try:
        parts = urlsplit(address)
        query: dict[str, Any] = dict(parse_qsl(parts.query))
    except ValueError:
        return UNCLEAR
    # An @ after the host, or a # anywhere, is what an unescaped sign in a password leaves.
    if not parts.scheme or "@" in f"{parts.path}{parts.query}" or parts.fragment:
        return UNCLEAR
    host = parts.netloc.rpartition("@")[2] or query.get("host", "localhost")
    if not all(_has_sound_port(one) for one in host.split(",")):
        return UNCLEAR
    return f"{host}{parts.path}"


def _has_sound_port(host: str) -> bool:
    """False where something else than a number stands for the port, as pieces of a password do."""
    if host.startswith("/") or host.count(":") == 0:
        return True
    port = host.rpartition(":")[2]
    return host.endswith("]") or (port.isdecimal() and int(port) < 65536)  # noqa: PLR2004 - ports have 16 bits
