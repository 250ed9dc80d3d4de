"""Alert rules and dashboards: valid, tested, and about metrics that exist."""

import json
import re

import pytest
import yaml

from tests.deploy.alerts_and_panels import (
    ALERTS,
    GROUPED,
    METRIC,
    PROMETHEUS,
    QUERIES,
    RECORDED,
    RULES,
    SCRAPED,
    dashboards,
    without_strings,
)
from tests.deploy.metrics_defined import OF_THE_SCRAPE, defined, ours
from tests.support.programs import ROOT, run


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_is_about_metrics_and_labels_that_exist(name):
    known = defined() | {record: set() for record in RECORDED}
    query = without_strings(QUERIES[name])
    used = METRIC.findall(query)
    assert used, query
    labels = set(OF_THE_SCRAPE)
    for metric, selector in used:
        assert metric in known, f"{metric} is defined nowhere"
        named = set(re.findall(r"(\w+)\s*[=!]", selector))
        assert named <= known[metric] | OF_THE_SCRAPE, f"{metric} has no label {named - known[metric]}"
        labels |= known[metric]
        for inner, _ in METRIC.findall(without_strings(RECORDED[metric]["expr"])) if metric in RECORDED else ():
            labels |= known[inner]
    grouped = {word.strip() for words in GROUPED.findall(query) for word in words.split(",") if word.strip()}
    assert grouped <= labels, f"nothing has the labels {grouped - labels}"


def test_a_query_about_nothing_would_be_found():
    assert [metric for metric, _ in METRIC.findall("rate(pay402_no_such_total[5m])") if metric not in defined()]


@pytest.mark.parametrize("job", [job["job_name"] for job in SCRAPED])
def test_a_job_of_the_rules_is_scraped_and_a_process_of_ours_has_rules(job):
    if job in {"api", "indexer", "worker"}:
        assert any(f'job="{job}"' in rule["expr"] for rule in ALERTS.values())


def test_every_job_that_a_query_names_is_scraped():
    jobs = {job["job_name"] for job in SCRAPED}
    for query in QUERIES.values():
        for value in re.findall(r'\bjob=~?"([^"]+)"', query):
            assert set(value.split("|")) <= jobs, query


def test_promtool_takes_the_configuration_and_the_rules():
    assert "SUCCESS" in run("promtool", "check", "config", PROMETHEUS / "prometheus.yml")
    assert f"SUCCESS: {len(RULES)} rules found" in run("promtool", "check", "rules", PROMETHEUS / "rules.yml")


def test_promtool_takes_the_configuration_for_kubernetes(tmp_path):
    """All of it but how pods are found, which Debian's promtool is built without."""
    configuration = yaml.safe_load((PROMETHEUS / "kubernetes.yml").read_text(encoding="utf-8"))
    for job in configuration["scrape_configs"]:
        if job.pop("kubernetes_sd_configs", None):
            job["static_configs"] = [{"targets": ["pod:1"]}]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    (tmp_path / "rules.yml").write_text((PROMETHEUS / "rules.yml").read_text())
    assert "SUCCESS" in run("promtool", "check", "config", tmp_path / "prometheus.yml")


def test_promtool_takes_every_query_of_the_dashboards(tmp_path):
    """Each as a rule that records it: the same parser reads both."""
    rules = [{"record": "tried", "expr": query, "labels": {"n": str(n)}} for n, query in enumerate(QUERIES.values())]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "tried", "rules": rules}]}))
    assert f"{len(QUERIES)} rules found" in run("promtool", "check", "rules", tmp_path / "rules.yml")


def test_every_alert_fires_and_keeps_still_as_its_test_says(tmp_path):
    """Each test with the alerts that it is about and whatever is recorded; all rules, for days, take a minute."""
    groups = yaml.safe_load((PROMETHEUS / "rules.yml").read_text(encoding="utf-8"))["groups"]
    written = yaml.safe_load((PROMETHEUS / "rules_test.yml").read_text(encoding="utf-8"))
    assert written["rule_files"] == ["rules.yml"]
    files = []
    for n, test in enumerate(written["tests"]):
        about = {case["alertname"] for case in test["alert_rule_test"]}
        kept = [
            {**group, "rules": [rule for rule in group["rules"] if "record" in rule or rule["alert"] in about]}
            for group in groups
        ]
        (tmp_path / f"rules-{n}.yml").write_text(yaml.safe_dump({"groups": kept}))
        files.append(tmp_path / f"test-{n}.yml")
        files[-1].write_text(yaml.safe_dump({**written, "rule_files": [f"rules-{n}.yml"], "tests": [test]}))
    assert run("promtool", "test", "rules", *files).count("SUCCESS") == len(files) > len(groups)


def test_every_alert_is_shown_to_fire_and_to_keep_still():
    tests = yaml.safe_load((PROMETHEUS / "rules_test.yml").read_text(encoding="utf-8"))["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == set(ALERTS)
    assert {case["alertname"] for case in cases if not case.get("exp_alerts")} == set(ALERTS)


def test_every_alert_says_how_bad_it_is_and_what_has_happened():
    for name, alert in ALERTS.items():
        assert alert["labels"]["severity"] in {"page", "ticket"}, name
        assert alert["annotations"]["summary"].endswith("."), name


def test_every_alert_has_a_section_in_the_runbook_and_the_other_way_round():
    runbook = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    sections = runbook.partition("\n## Alerts\n")[2].partition("\n## ")[0]
    described = re.findall(r"^### (\w+)$", sections, re.MULTILINE)
    assert described == list(ALERTS)


@pytest.mark.parametrize("dashboard", dashboards.DASHBOARDS, ids=lambda one: one.name)
def test_a_dashboard_is_written_from_its_source(dashboard):
    written = (dashboards.DIRECTORY / f"{dashboard.name}.json").read_text(encoding="utf-8")
    assert written == dashboards.rendered(dashboard), "run python deploy/grafana/dashboards.py"
    panels = json.loads(written)["panels"]
    # Nothing lies on anything else or beyond the edge.
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_no_dashboard_is_left_over_and_every_figure_of_the_guide_is_shown():
    assert {path.stem for path in dashboards.DIRECTORY.glob("*.json")} == {one.name for one in dashboards.DASHBOARDS}
    rows = {row for dashboard in dashboards.DASHBOARDS for row in dashboard.rows}
    assert {"Requests", "Verifications", "Postgres", "Redis and limits"} <= rows


def test_every_metric_of_ours_is_shown_or_watched():
    """A metric that nobody looks at is not worth its cost."""
    used = {metric for query in QUERIES.values() for metric, _ in METRIC.findall(without_strings(query))}
    shown = {re.sub(r"_(bucket|sum|count)$", "", metric) for metric in used}
    measured = {re.sub(r"_(bucket|sum|count)$", "", name) for name in ours() if name.startswith("pay402_")}
    assert measured - shown == set()
