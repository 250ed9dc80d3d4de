"""Writes results into `bench/results/`."""

import json
import platform
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def write_result(name: str, result: Any) -> None:
    """Write a measurement as JSON, together with the machine that it was made on."""
    RESULTS.mkdir(exist_ok=True)
    document = {"scenario": name, "python": platform.python_version(), "machine": platform.machine(), "result": result}
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
