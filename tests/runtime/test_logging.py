"""Logs are one JSON object a line, whoever writes them, and carry no secret."""

import io
import json
import logging
import warnings

import pytest
import structlog

from runtime.logging import configure_logging, scrub
from runtime.settings import Settings

SECRET = "hunter2"


class Terminal(io.StringIO):
    """Text that claims to be seen by a person."""

    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def restored():
    """The loggers of the process as they were."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def configured(stream, **settings):
    configure_logging(Settings(**settings), "worker", stream=stream)
    return stream


def test_a_line_is_a_json_object_with_time_level_and_logger():
    stream = configured(io.StringIO())
    structlog.get_logger("worker.main").info("recorded", transfers=2**64 - 1)
    line = json.loads(stream.getvalue())
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "recorded",
        "level": "info",
        "logger": "worker.main",
        "service": "worker",
        "transfers": 2**64 - 1,
    }


def test_libraries_and_warnings_are_lines_too():
    stream = configured(io.StringIO())
    logging.getLogger("some.library").warning("it is %s", "late")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", UserWarning, stacklevel=1)
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["event"], first["level"], first["logger"]) == ("it is late", "warning", "some.library")
    assert first["service"] == second["service"] == "worker"
    assert "UserWarning: old" in second["event"]


def test_libraries_that_log_their_every_step_do_not_bury_ours():
    stream = configured(io.StringIO())
    for library in ("arq.worker", "websockets.client", "aiohttp.access", "sqlalchemy.engine"):
        logging.getLogger(library).info("a step")
        logging.getLogger(library).warning("a warning of %s", library)
    assert [json.loads(line)["level"] for line in stream.getvalue().splitlines()] == ["warning"] * 4


def test_a_traceback_stays_on_its_line():
    stream = configured(io.StringIO())
    try:
        int(f"postgresql://u:{SECRET}@db/x")
    except ValueError:
        structlog.get_logger().exception("failed")
    (line,) = stream.getvalue().splitlines()
    assert "postgresql://u:***@db/x" in json.loads(line)["exception"].splitlines()[-1]


@pytest.mark.parametrize(("level", "lines"), [("debug", 3), ("info", 2), ("warning", 1), ("error", 0)])
def test_the_level_counts_for_everybody(level, lines):
    stream = configured(io.StringIO(), log_level=level)
    structlog.get_logger().debug("a")
    structlog.get_logger().info("b")
    logging.getLogger("some.library").warning("c")
    assert len(stream.getvalue().splitlines()) == lines


@pytest.mark.parametrize(
    ("stream", "environment", "is_json"),
    [
        (Terminal, "development", False),
        (Terminal, "production", True),
        (Terminal, "test", True),
        (io.StringIO, "development", True),
    ],
)
def test_only_a_developer_at_a_terminal_reads_something_else(stream, environment, is_json):
    written = configured(stream(), app_env=environment)
    structlog.get_logger().info("recorded", url=f"https://x/?api-key={SECRET}")
    assert written.getvalue().startswith("{") == is_json
    assert SECRET not in written.getvalue()
    assert "recorded" in written.getvalue()


@pytest.mark.parametrize(
    "value",
    [
        f"postgresql://user:{SECRET}@db.example:5432/x",
        f"postgresql://user:{SECRET}@with@signs@db/x",
        f"redis://:{SECRET}@cache:6379/0",
        f"https://rpc.example/?api-key={SECRET}&x=1",
        f"wss://rpc.example/?a=1&API_KEY={SECRET}",
        f"https://rpc.example/?token={SECRET}",
        f"postgresql:///x?host=/run&password={SECRET}",
        f"sk_live_{SECRET}",
    ],
)
@pytest.mark.parametrize("wrap", [str, lambda text: {"deep": [text]}, lambda text: f'quoted "{text}" here'])
def test_secrets_are_scrubbed_wherever_they_stand(value, wrap):
    stream = configured(io.StringIO())
    structlog.get_logger().info("trying", value=wrap(value), where=value)
    logging.getLogger("some.library").error("failed: %s", wrap(value))
    assert SECRET not in stream.getvalue()
    assert "***" in stream.getvalue()
    for line in stream.getvalue().splitlines():
        json.loads(line)


@pytest.mark.parametrize(
    "text",
    [
        "https://api.devnet.solana.com/path?commitment=confirmed",
        "http://127.0.0.1:8899 and mail a@b.example",
        "wallet 4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU: 2@3",
    ],
)
def test_what_is_no_secret_stays(text):
    assert scrub(text) == text


def test_a_traceback_of_a_library_stays_on_its_line_too():
    stream = configured(io.StringIO())
    try:
        int(f"redis://:{SECRET}@cache:6379")
    except ValueError:
        logging.getLogger("some.library").exception("failed with %s", f"sk_live_{SECRET}")
    (line,) = map(json.loads, stream.getvalue().splitlines())
    assert (line["event"], line["level"], line["logger"]) == ("failed with sk_live_***", "error", "some.library")
    assert line["exception"].splitlines()[-1].endswith("'redis://:***@cache:6379'")


def test_of_an_api_key_its_public_beginning_stays():
    key = "sk_live_0123456789" + "ab" * 32
    assert scrub(f"the key {key} of a shop") == "the key sk_live_0123456789*** of a shop"
    assert scrub("There is no key 'sk_test_0123456789'.") == "There is no key 'sk_test_0123456789'."
    assert scrub(f"{key}0 {key[:-1]} sk_live_012345678") == "sk_live_*** sk_live_*** sk_live_***"
