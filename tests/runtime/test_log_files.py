"""Logs as files: what the guide looks for is in the file where it looks, and rotating them loses nothing."""

import json
import logging

import pytest
import structlog

from runtime.errors import OperatorError
from runtime.logging import COMMAND, configure_logging
from runtime.settings import Settings


@pytest.fixture(autouse=True)
def restored():
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def test_errors_and_requests_have_a_file_each(tmp_path):
    configure_logging(Settings(LOG_DIR=tmp_path / "a" / "b"), "worker")
    log = structlog.get_logger("worker.main")
    log.info("fine")
    log.warning("late", password="x")
    log.error("wrong", address="postgresql://u:hunter2@db/x")
    logging.getLogger("a.library").critical("it is over")
    structlog.get_logger("api.access").info(
        "request", method="GET", route="/payments", status=200, ms=1.5, client="::1", request_id="r"
    )
    structlog.get_logger("api.access").warning("CORS request blocked", origin='https://a"\nb', client="::1")
    errors = [json.loads(line) for line in (tmp_path / "a" / "b" / "error.log").read_text().splitlines()]
    assert [(line["level"], line["event"]) for line in errors] == [("error", "wrong"), ("critical", "it is over")]
    assert errors[0]["address"] == "postgresql://u:***@db/x"
    first, second = (tmp_path / "a" / "b" / "access.log").read_text().splitlines()
    assert first.endswith('"GET /payments HTTP/1.1" 200 - 1.5 r')
    assert second.startswith("::1 - - [")
    assert second.endswith(r'"CORS request blocked" - - "https://a\"\nb"')


def test_a_file_that_was_rotated_is_begun_anew(tmp_path):
    configure_logging(Settings(LOG_DIR=tmp_path), "indexer")
    log = structlog.get_logger("indexer.main")
    log.error("before")
    (tmp_path / "error.log").rename(tmp_path / "error.log.1")
    log.error("after")
    assert "before" in (tmp_path / "error.log.1").read_text()
    assert "after" in (tmp_path / "error.log").read_text()


def test_a_command_writes_no_file(tmp_path):
    configure_logging(Settings(LOG_DIR=tmp_path / "logs"), COMMAND)
    assert not (tmp_path / "logs").exists()


def test_a_directory_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OperatorError, match=r"LOG_DIR names .*file, where no log can be written \(.+\); give"):
        configure_logging(Settings(LOG_DIR=tmp_path / "file"), "worker")
