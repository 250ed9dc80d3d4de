"""Draws `docs/demo.svg`, the picture in the README, from what `pay402 demo --once` prints.

Use: `make picture`, which is `python -m cli.demo.picture docs/demo.svg`.
"""

import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

_ROWS_SHOWN: Final = 12
_STYLES: Final = {
    r"^ .*$": "italic",
    r"\b[A-Z]+_[A-Z]+\b|\bduplicate_settlement\b": "yellow",
    r"\bVALID\b|\bSETTLED\b|^demo: .*$": "bold green",
}


def excerpt(output: str) -> list[str]:
    """The lines of the demo's output that are drawn: the first rows of the ledger, every verdict, the last line."""
    ledger = output[: output.index("└")].splitlines()
    head = next(number for number, line in enumerate(ledger) if line.startswith("┡")) + 1
    verdicts = output[output.rindex("\n", 0, output.index("What the API verified")) + 1 :].splitlines()
    return [
        *filter(str.strip, ledger[: head + _ROWS_SHOWN]),
        "└" + ledger[head - 1][1:-1].translate(str.maketrans("━╇", "─┴")) + "┘",
        *verdicts,
    ]


def picture(output: str) -> str:
    """The picture of what the demo printed, as an SVG that loads nothing from elsewhere."""
    lines = excerpt(output)
    console = Console(record=True, width=max(map(len, lines)), file=io.StringIO(), force_terminal=True)
    for line in lines:
        text = Text(line)
        for pattern, style in _STYLES.items():
            text.highlight_regex(pattern, style)
        console.print(text, soft_wrap=True)
    svg = console.export_svg(title="pay402 demo --once", unique_id="demo")
    svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    return re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE).strip() + "\n"


def main(path: Path) -> None:
    """Run the demo and draw it to `path`; raises CalledProcessError when the demo fails."""
    demo = [sys.executable, "-m", "cli", "demo", "--once"]
    output = subprocess.run(demo, stdout=subprocess.PIPE, text=True, check=True).stdout  # noqa: S603 - our own words
    path.write_text(picture(output), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
