"""REDIS_URL as providers hand it out: each parameter is honoured, or left out by its name.

The client hands every parameter on to its connection, which fails on one that it does not know. So what other drivers
understand is taken out here, and with it every wait and bound, since each process sets its own.
"""

from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode

from chain.hosts import clear_parts
from runtime.connection_string import joined

_HOW: Final = "write it as redis://user:password@host:port/0, with / # ? and @ in a password as %2F %23 %3F %40"
_PASSED_ON: Final = frozenset({"db", "username", "password"})
_PASSED_ON_WITH_TLS: Final = frozenset(
    {"ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_password", "ssl_ca_data"}
)
_CHECKS: Final = frozenset({"none", "optional", "required"})
_YES: Final = frozenset({"1", "true", "yes", "on"})
_NO: Final = frozenset({"0", "false", "no", "off"})


def usable_redis_address(address: str) -> str:
    """The address with the parameters that our clients understand; it carries the password.

    Raises:
        ValueError: It cannot be used. The sentence holds no piece of it but the name of a parameter.
    """
    parts = clear_parts(address)
    if parts is None or (parts.scheme == "unix" and not parts.path):
        raise ValueError(f"it is no usable address of a Redis; {_HOW}")
    found = {name: value for name, value in parse_qsl(parts.query) if value}
    kept = {name: value for name, value in found.items() if name in _PASSED_ON}
    if "db" in kept and not _is_number(kept["db"]):
        raise ValueError("its parameter db must be the number of a database")
    if parts.scheme != "unix" and not _is_number(unquote(parts.path).replace("/", "").strip() or "0"):
        raise ValueError("its path must be the number of a database")
    if parts.scheme == "rediss":
        kept |= {name: value for name, value in found.items() if name in _PASSED_ON_WITH_TLS}
        kept |= _checks(found)
    return joined(parts._replace(query=urlencode(kept, quote_via=quote)))


def _checks(found: dict[str, str]) -> dict[str, str]:
    """How the certificate of the server is checked, as our clients write it."""
    kept = {}
    if (name := found.get("ssl_check_hostname")) is not None:
        if name.lower() not in _YES | _NO:
            raise ValueError("its parameter ssl_check_hostname must be true or false")
        kept["ssl_check_hostname"] = str(name.lower() in _YES)
    if (wanted := found.get("ssl_cert_reqs")) is not None:
        check = wanted.lower().removeprefix("cert_")
        if check not in _CHECKS:
            raise ValueError("its parameter ssl_cert_reqs must be none, optional or required")
        kept["ssl_cert_reqs"] = check
        if check == "none":
            # A certificate that is not looked at cannot be held against a name.
            kept["ssl_check_hostname"] = "False"
    return kept


def _is_number(text: str) -> bool:
    """True for the number of a database."""
    return text.isascii() and text.isdecimal() and len(text) <= 9  # noqa: PLR2004 - far more than there are
