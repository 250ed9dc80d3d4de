"""The README's first payment works as it is written."""

import asyncio
import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.support.command_line import environment, running

README = Path(__file__).parents[2] / "README.md"


def script(rpc, api):
    """The commands of "A first payment in five minutes" that belong into the second terminal."""
    text = README.read_text(encoding="utf-8")
    section = text.partition("\nIn a second terminal")[2].partition("\nTo follow a real cluster")[0]
    commands = "\n".join(re.findall(r"^(?: {4}(.*)|)$", section, re.MULTILINE))
    programs = f"{Path(sys.executable).parent}/"
    commands = commands.replace(".venv/bin/", programs)
    return commands.replace("http://127.0.0.1:8899", rpc).replace("http://127.0.0.1:3001", api)


@pytest.mark.skipif(shutil.which("curl") is None, reason="the README's commands use curl")
async def test_a_first_payment_is_made_and_verified_as_written(home, tmp_path):
    async with running("up", "--json", home=home) as up:
        ready = json.loads(await up.line())
        process = await asyncio.create_subprocess_exec(
            "bash", "-euo", "pipefail", "-c", script(ready["rpc"], ready["api"]),
            cwd=tmp_path, env=environment(home, {}),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(90):
            out, err = await process.communicate()
        assert process.returncode == 0, (out, err)
        assert out.count(b'"valid":true') == 1, out
        assert out.count(b"REPLAY_ATTACK") == 1, out
        assert b'"amountBaseUnits":"10000"' in out
        assert b"API sales" in out
        assert (await up.stopped()).code == 0
