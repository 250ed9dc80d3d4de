"""docs/README.md has a way in for each reader, and each first step works as it is written."""

import asyncio
import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.support.command_line import environment, running
from tests.support.source_tree import ROOT

PROSE = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
DOCUMENT = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
WAYS = dict(one.split("\n", 1) for one in DOCUMENT.split("\n## ")[1:])
# What the last command of a reader answers, and how often it may be asked until it does: money takes a moment.
ANSWERS = {
    "You sell something": '"status":"paid"',
    "You write an agent": '"kinds":',
    "You operate it": "",
    "You analyse it": "",
}


def commands(title):
    script = "\n".join(re.findall(r"^ {4}(.*)$", WAYS[title], re.MULTILINE))
    return script.replace(".venv/bin/", f"{Path(sys.executable).parent}/").replace("examples/", f"{ROOT}/examples/")


def test_every_reader_has_a_way_in_and_the_readme_leads_there():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for title, text in WAYS.items():
        assert f"docs/README.md#{title.lower().replace(' ', '-')})" in readme
        assert commands(title).strip(), title
        assert "Next: " in text, title
    assert {*ANSWERS, "You change it"} == set(WAYS)


@pytest.mark.parametrize("document", PROSE, ids=lambda path: path.name)
def test_every_link_of_a_document_leads_somewhere(document):
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, place = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        found = (document.parent / path).resolve() if path else document
        assert found.exists(), target
        if place:
            headings = re.findall(r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            assert place in {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}, target


@pytest.mark.skipif(shutil.which("curl") is None, reason="the commands use curl")
async def test_each_first_step_works_as_it_is_written(home, tmp_path):
    async with running("up", "--json", home=home) as up:
        ready = json.loads(await up.line())
        # The buyer alone is sent to this localnet: all else finds it by itself.
        buyer = f"{sys.executable.rpartition('/')[0]}/python {ROOT}/examples/buyer.py"
        for title, answer in ANSWERS.items():
            script = commands(title).replace("http://127.0.0.1:3001", ready["api"])
            script = script.replace(buyer, f"SOLANA_RPC_URL={ready['rpc']} {buyer}")
            *before, last = re.split(r"\n(?! )", script.strip())
            # Only the last is repeated: what came before has its effect at once.
            asked = f"{last} | tee answer; grep -qF '{answer}' answer && exit 0"
            again = f"for _ in $(seq 50); do {asked}; sleep 0.2; done; exit 9"
            process = await asyncio.create_subprocess_exec(
                "bash", "-euo", "pipefail", "-c", "\n".join([*before, again if answer else last]),
                cwd=tmp_path, env=environment(home, {}),
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            async with asyncio.timeout(90):
                out, _ = await process.communicate()
            assert process.returncode == 0, (title, out.decode())
        assert "7v91N7iZ9mNicL8WfG6cgSCKyRXydQjLh6UYBWwm6y1Q" in (tmp_path / "transfers.csv").read_text()
        assert (await up.stopped()).code == 0
