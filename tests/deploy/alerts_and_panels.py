"""Alert rules, recorded rules and panels, as their files have them, and every query in them."""

import importlib.util
import re
import sys

import yaml

from tests.support.programs import DEPLOY

PROMETHEUS = DEPLOY / "prometheus"
RULES = [
    rule
    for group in yaml.safe_load((PROMETHEUS / "rules.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDED = {rule["record"]: rule for rule in RULES if "record" in rule}
SCRAPED = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]


def load_dashboards():
    spec = importlib.util.spec_from_file_location("dashboards", DEPLOY / "grafana" / "dashboards.py")
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks its module up by name.
    sys.modules["dashboards"] = module
    spec.loader.exec_module(module)
    return module


dashboards = load_dashboards()
PANELS = {
    f"{dashboard.name}: {panel.title}": panel
    for dashboard in dashboards.DASHBOARDS
    for row in dashboard.rows.values()
    for panel in row
}
QUERIES = {
    **{f"rule {rule.get('alert') or rule['record']}": rule["expr"] for rule in RULES},
    **{f"{name} ({legend})": query for name, panel in PANELS.items() for legend, query in panel.queries.items()},
}

METRIC = re.compile(r"\b((?:pay402|process|node|kube)[_:][a-z0-9_:]+|up)\b(?:\{([^}]*)\})?")
GROUPED = re.compile(r"\b(?:by|on|ignoring|group_left)\s*\(([^)]*)\)")


def without_strings(query):
    return re.sub(r'"[^"]*"', '""', query)
