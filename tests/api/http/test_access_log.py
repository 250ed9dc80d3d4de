"""The log of requests: who asked what, as an operator's tail, grep and awk read it, and nothing that was sent."""

import re
import subprocess

import pytest

from tests.support.api_client import key_for
from tests.support.api_processes import api_processes
from tests.support.ledger_checks import eventually
from tests.support.ledger_rows import new_signature

TIME = r"\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\]"
LINE = re.compile(rf'^(\S+) - - {TIME} "([A-Z]+) (\S+) HTTP/1\.1" (\d{{3}}) - [\d.]+ \S+$')
CLIENT = "203.0.113.9"


def shell(command, directory):
    """What a command of the guide prints when its logs are in `directory`."""
    command = command.replace("/var/log/402pay", str(directory)).replace("tail -f", "tail -n +1")
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("trusted", [True, False])
async def test_the_guides_commands_read_who_asked_what(database_url, redis_url, pool, tmp_path, trusted):
    logs = tmp_path / "logs"
    settings = {"LOG_DIR": str(logs), **({"TRUSTED_PROXIES": "127.0.0.1"} if trusted else {})}
    async with api_processes(1, database_url, redis_url, tmp_path, **settings) as ([process], [client]):
        key = await key_for(pool)
        transaction = new_signature()
        forwarded = {"X-Forwarded-For": f"198.51.100.1, {CLIENT}"}
        await client.holding(key).get(f"/payments/{transaction}?api_key={key}", headers=forwarded)
        await client.get(f"/nowhere/{key}?token={key}", headers={"X-Forwarded-For": 'x"; rm -rf / #'})
        await client.get("/health", headers={"Origin": "https://evil.example", **forwarded})

        async def is_logged():
            return "CORS request blocked" in (logs / "access.log").read_text()

        await eventually(is_logged)
    lines = (logs / "access.log").read_text().splitlines()
    requests = [found.groups() for line in lines if (found := LINE.match(line))]
    client_seen = CLIENT if trusted else "127.0.0.1"
    assert (client_seen, "GET", "/payments/{signature}", "404") in requests
    # What a caller puts before the address that our proxy adds is not believed, nor is what is no address.
    assert {who for who, *_ in requests} <= {client_seen, "127.0.0.1", "-"}
    assert "198.51.100.1" not in shell("cat /var/log/402pay/*", logs)
    for secret in (key, transaction, key[len("sk_live_") + 10 :], "rm -rf"):
        assert secret not in shell("cat /var/log/402pay/*", logs) + process.log.read_text()
    blocked = shell('tail -f /var/log/402pay/access.log | grep "CORS request blocked"', logs)
    assert blocked.startswith(f"{client_seen} - - [")
    assert '"https://evil.example"' in blocked
    by_client = shell("awk '{print $1}' /var/log/402pay/access.log | sort | uniq -c | sort -rn", logs)
    assert client_seen in by_client
    missed = shell("awk '$9 == 404 {print $7}' /var/log/402pay/access.log", logs)
    assert set(missed.split()) == {"/payments/{signature}", "unmatched"}
    # The same on standard error, as JSON.
    own = [line for line in process.lines() if line["event"] == "request" and line["route"] == "/payments/{signature}"]
    assert [line["client"] for line in own] == [client_seen]
    assert shell("tail -f /var/log/402pay/error.log | grep -i error", logs) == ""
