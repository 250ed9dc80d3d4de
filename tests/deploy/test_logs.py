"""Examples for a log aggregator: the lines are ones that our processes write, and the pipeline takes them apart."""

import datetime as dt
import json
import re

import pytest
import yaml

from tests.support.programs import DEPLOY, ROOT

SAMPLES = [json.loads(line) for line in (DEPLOY / "logs" / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
PIPELINE = yaml.safe_load((DEPLOY / "logs" / "vector.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("line", SAMPLES, ids=lambda line: line["event"])
def test_a_sample_is_a_line_that_its_module_writes(line):
    module = ROOT.joinpath(*line["logger"].split(".")).with_suffix(".py").read_text(encoding="utf-8")
    (call,) = re.findall(rf'_log\.{line["level"]}\("{re.escape(line["event"])}"([^\n]*)\)', module)
    assert set(re.findall(r"\b(\w+)=", call)) == set(line) - {"event", "service", "level", "logger", "timestamp"}
    assert line["service"] in {"api", "indexer", "worker"}
    assert dt.datetime.fromisoformat(line["timestamp"]).tzinfo is not None


def test_the_pipeline_leads_from_its_source_to_its_sinks():
    made = set(PIPELINE["sources"]) | set(PIPELINE["transforms"])
    for part in (*PIPELINE["transforms"].values(), *PIPELINE["sinks"].values()):
        assert set(part["inputs"]) <= made
    # What the guide looks for in the logs goes where the guide looks for it.
    assert "CORS request blocked" in PIPELINE["transforms"]["noteworthy"]["condition"]
    assert "CORS request blocked" in {line["event"] for line in SAMPLES}


def test_what_the_runbook_looks_for_in_the_logs_is_found():
    runbook = (DEPLOY.parent / "docs" / "runbook.md").read_text(encoding="utf-8")
    lines = (DEPLOY / "logs" / "samples.jsonl").read_text(encoding="utf-8")
    patterns = {first or second for first, second in re.findall(r"""\| grep (?:"([^"]+)"|'([^']+)')""", runbook)}
    assert len(patterns) == 2
    assert {pattern for pattern in patterns if pattern not in lines} == set()
