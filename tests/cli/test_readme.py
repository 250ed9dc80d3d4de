"""The README's first payment works as it is written, and so do its commands for a cluster of one's own."""

import asyncio
import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.support.command_line import environment, eventually, running

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def commands(first, following):
    """What is set as commands between two pieces of text, with the programs and the examples of this tree."""
    section = README.partition(first)[2].partition(following)[0]
    script = "\n".join(re.findall(r"^(?: {4}(.*)|)$", section, re.MULTILINE))
    return script.replace(".venv/bin/", f"{Path(sys.executable).parent}/").replace("examples/", f"{ROOT}/examples/")


@pytest.mark.skipif(shutil.which("curl") is None, reason="the README's commands use curl")
async def test_a_first_payment_is_made_and_verified_as_written(home, tmp_path):
    async with running("up", "--json", home=home) as up:
        ready = json.loads(await up.line())
        script = commands("\nIn a second terminal", "\nTo follow a real cluster")
        assert "http://127.0.0.1:3001" in script
        script = script.replace("http://127.0.0.1:3001", ready["api"])
        # The buyer alone is sent to this localnet: all else finds it by itself.
        buyer = f"{sys.executable.rpartition('/')[0]}/python {ROOT}/examples/buyer.py"
        assert script.count(buyer) == 1
        script = script.replace(buyer, f"SOLANA_RPC_URL={ready['rpc']} {buyer}")
        process = await asyncio.create_subprocess_exec(
            "bash", "-euo", "pipefail", "-c", script,
            cwd=tmp_path, env=environment(home, {}),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(90):
            out, err = await process.communicate()
        assert process.returncode == 0, (out, err)
        assert out.count(b'"valid":true') == 1, out
        assert out.count(b"REPLAY_ATTACK") == 1, out
        assert b'"amountBaseUnits":"10000"' in out
        # What the ledger has of it, in the list of payments.
        assert b"0.01" in out.rpartition(b"nonce")[2]
        assert (await up.stopped()).code == 0


async def test_a_cluster_of_ones_own_is_followed_as_written(home, empty_database, net, tmp_path):
    script = commands("\nTo follow a real cluster", "\n## Architecture")
    own = {
        "postgresql://user:password@host/ledger": f"'{empty_database}'",
        "SOLANA_NETWORK=devnet": "SOLANA_NETWORK=localnet",
        "https://your-node.example": net.rpc_url,
        "YOUR_WALLET": "7v91N7iZ9mNicL8WfG6cgSCKyRXydQjLh6UYBWwm6y1Q",
    }
    for written, ours in own.items():
        assert script.count(written) == 1, written
        script = script.replace(written, ours)
    *before, last = script.strip().splitlines()
    with (tmp_path / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            "bash", "-euo", "pipefail", "-c", "\n".join([*before, f"exec {last}"]),
            cwd=tmp_path, env=environment(home, {"METRICS_PORT": "0"}), stdout=log, stderr=log,
        )  # fmt: skip
        try:
            await eventually(lambda: '"following"' in (tmp_path / "log").read_text(), seconds=60)
        finally:
            process.terminate()
            code = await process.wait()
    assert code == 0, (tmp_path / "log").read_text()


def test_an_example_is_short_and_uses_what_anybody_can_install():
    assert EXAMPLES
    for path in EXAMPLES:
        source = path.read_text(encoding="utf-8")
        assert len(source.splitlines()) < 60, path.name
        ours = {one.name for one in ROOT.iterdir() if (one / "__init__.py").is_file()}
        imported = {
            line.split()[1].partition(".")[0] for line in source.splitlines() if re.match("(from|import) ", line)
        }
        assert not imported & ours, path.name
