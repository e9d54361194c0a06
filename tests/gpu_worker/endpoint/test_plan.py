"""`python -m gpu_worker.endpoint plan`: what it says of an account, and what it never shows."""

import copy
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gpu_worker.endpoint import declaration
from gpu_worker.endpoint.__main__ import FILE, main
from gpu_worker.endpoint.errors import DeclarationError

KEY = "rpa_a-key-that-may-read"
PLAIN_SECRET = "what somebody pasted into the console"
DECLARED = declaration.read(FILE)
CONTAINER = {
    "image": DECLARED.template.image,
    "disk": DECLARED.template.container_disk_gb,
    "env": DECLARED.template.environment,
    "args": "",
    "registry": None,
}
EQUAL: dict[str, Any] = {
    "/v2/network-volumes": {
        "networkVolumes": [
            {"id": "vol_1", "name": "avatar-models", "size": 50, "dataCenter": "EU-RO-1", "type": "STANDARD"},
            {"id": "vol_2", "name": "another", "size": 10, "dataCenter": "EU-RO-1", "type": "STANDARD"},
        ]
    },
    "/v2/templates": {
        "templates": [
            {**CONTAINER, "id": "tpl_1", "name": "avatar-worker", "serverless": True, "public": False},
        ]
    },
    "/v2/serverless": {
        "endpoints": [
            {
                **CONTAINER,
                "id": "ep_1",
                "name": "avatar -fb",
                "type": "QUEUE",
                "gpu": {
                    "pools": ["ADA_48_PRO"],
                    "excludedTypes": ["NVIDIA RTX 6000 Ada Generation", "NVIDIA L40"],
                    "count": 1,
                    "allowedCudaVersions": [],
                    "minCudaVersion": "13.0",
                },
                "workers": {"min": 0, "max": 5, "idleTimeout": 60},
                "scaling": {"type": "QUEUE_DELAY", "queueDelay": 1.0},
                "timeout": 600_000,
                "flashboot": "FLASHBOOT",
                "networkVolumes": ["vol_1"],
                "dataCenterIds": [],
            }
        ]
    },
    "/v2/catalog/gpus": {
        "gpus": [
            {"id": "NVIDIA L40S", "pool": "ADA_48_PRO"},
            {"id": "NVIDIA L40", "pool": "ADA_48_PRO"},
            {"id": "NVIDIA RTX 6000 Ada Generation", "pool": "ADA_48_PRO"},
            {"id": "NVIDIA A40", "pool": "AMPERE_48"},
            {"id": "NVIDIA GeForce RTX 3070", "pool": None},
        ]
    },
    "/v2/account/secrets": {
        "secrets": [{"id": name, "name": name} for name in sorted(DECLARED.template.secrets)],
    },
}


class Account:
    """RunPod's REST API, played on loopback, for reading alone: it answers to no POST or PATCH.

    Attributes:
        told: What it answers, by path; a number is a status.
    """

    def __init__(self) -> None:
        self.told: dict[str, Any] = copy.deepcopy(EQUAL)
        self.url = ""

    @property
    def endpoint(self) -> dict[str, Any]:
        return self.told["/v2/serverless"]["endpoints"][0]  # type: ignore[no-any-return]


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    monkeypatch.setenv("RUNPOD_API_KEY", KEY)
    account = Account()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(account))
    account.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield account
    server.shutdown()
    thread.join()
    server.server_close()


def handler(account: Account) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            right = self.headers["Authorization"] == f"Bearer {KEY}"
            told = account.told[self.path] if right else 401
            status, body = (told, {"detail": KEY}) if isinstance(told, int) else (200, told)
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            pass

    return Handler


def plan(account: Account, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit status and everything that was written."""
    status = main(["plan", "--api", account.url, *arguments])
    out, err = capsys.readouterr()
    assert KEY not in out + err
    assert PLAIN_SECRET not in out + err
    return status, out + err


def test_an_account_that_is_as_declared_needs_nothing(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan(account, capsys) == (0, "RunPod runs what is declared.\n")


def test_an_empty_account_is_given_everything_in_order(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    for path, told in account.told.items():
        if path != "/v2/catalog/gpus":
            told[next(iter(told))].clear()
    status, text = plan(account, capsys)
    assert status == 2
    steps = [line.split(". ", 1)[1] for line in text.splitlines() if line[0].isdigit()]
    assert [step.split()[0] for step in steps] == ["secret"] * 4 + ["volume", "template", "endpoint"]
    bodies = [json.loads(line.split(" -d ")[1].strip("'")) for line in text.splitlines() if "curl" in line]
    volume, template, endpoint = bodies
    assert volume == {"name": "avatar-models", "size": 50, "dataCenter": "EU-RO-1"}
    assert template["env"]["REDIS_URL"] == "{{ RUNPOD_SECRET_avatar_redis_url }}"
    assert endpoint["templateId"] == "<id of the template avatar-worker>"
    assert endpoint["networkVolumes"] == ["<id of the volume avatar-models>"]
    assert endpoint["gpu"]["excludedTypes"] == ["NVIDIA L40", "NVIDIA RTX 6000 Ada Generation"]
    assert endpoint["workers"] == {"min": 0, "max": 5, "idleTimeout": 60}
    assert (endpoint["type"], endpoint["timeout"]) == ("QUEUE", 600_000)


def test_what_differs_is_named_with_the_one_request_that_mends_it(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    account.endpoint["workers"] = {"min": 1, "max": 3, "idleTimeout": 60}
    account.endpoint["timeout"] = 300_000
    status, text = plan(account, capsys)
    assert status == 2
    assert "workers.max is 3, not 5" in text
    assert "timeout is 300000, not 600000" in text
    assert f"curl -X PATCH {account.url}/v2/serverless/ep_1 " in text
    assert text.count("curl") == 1
    assert "$RUNPOD_API_KEY" in text


def test_of_an_environment_only_names_are_shown(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    environment = DECLARED.template.environment | {"REDIS_URL": PLAIN_SECRET, "OLD_TOKEN": PLAIN_SECRET}
    account.endpoint["env"] = {name: value for name, value in environment.items() if name != "LOG_LEVEL"}
    status, text = plan(account, capsys)
    assert status == 2
    assert "env.REDIS_URL has another value" in text
    assert "env.OLD_TOKEN isn't declared" in text
    assert "env.LOG_LEVEL is missing" in text


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"size": 100}, "can't shrink"),
        ({"size": 40}, "size is 40, not 50"),
        ({"dataCenter": "US-TX-3"}, "can't be moved"),
    ],
)
def test_a_volume_that_differs_is_never_thrown_away(
    account: Account, capsys: pytest.CaptureFixture[str], change: dict[str, Any], reason: str
) -> None:
    account.told["/v2/network-volumes"]["networkVolumes"][0].update(change)
    status, text = plan(account, capsys)
    assert (status, reason in text, "DELETE" in text) == (2, True, False)


def test_a_card_that_runpod_adds_to_the_pool_is_to_be_excluded(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    account.told["/v2/catalog/gpus"]["gpus"].append({"id": "NVIDIA L40T", "pool": "ADA_48_PRO"})
    status, text = plan(account, capsys)
    assert (status, "NVIDIA L40T" in text) == (2, True)


def test_a_key_that_may_not_read_secrets_compares_the_rest(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    account.told["/v2/account/secrets"] = 403
    status, text = plan(account, capsys)
    assert (status, "may not read the names of secrets" in text) == (0, True)


@pytest.mark.parametrize(
    ("path", "told", "reason"),
    [
        ("/v2/serverless", 401, "status 401: is RUNPOD_API_KEY right?"),
        ("/v2/serverless", 429, "status 429"),
        ("/v2/serverless", {"endpoints": [{"id": PLAIN_SECRET}]}, "something else than RunPod documents"),
        ("/v2/templates", [], "something else than RunPod documents"),
        ("/v2/catalog/gpus", {"gpus": []}, "RunPod has no NVIDIA L40S"),
        (
            "/v2/serverless",
            {"endpoints": EQUAL["/v2/serverless"]["endpoints"] * 2},
            "2 endpoints named avatar",
        ),
    ],
)
def test_when_nobody_can_say_the_status_is_1(
    account: Account, capsys: pytest.CaptureFixture[str], path: str, told: Any, reason: str
) -> None:
    account.told[path] = told
    status, text = plan(account, capsys)
    assert (status, reason in text) == (1, True), text


def test_without_a_key_or_without_runpod_the_status_is_1(
    account: Account, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["plan", "--api", "http://127.0.0.1:1"]) == 1
    monkeypatch.delenv("RUNPOD_API_KEY")
    assert plan(account, capsys)[0] == 1
    with pytest.raises(SystemExit) as stopped:
        main(["apply"])
    assert stopped.value.code == 1


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("size_gb = 50", "size_gb = true", "volume.size_gb must be a whole number"),
        ("size_gb = 50", 'size_gb = "50"', "volume.size_gb must be a whole number"),
        ("size_gb = 50", "", "volume.size_gb is missing"),
        ("size_gb = 50", "size_gb = 50\ncolour = 1", "volume.colour is unknown"),
        ("[volume]", "[volumes]", "volume is missing"),
        ("[volume]", "[volume", "can't be read"),
        ('"/runpod-volume"', '"/workspace"', "mount_path must be /runpod-volume"),
        ('"/runpod-volume/models"', '"/models"', "MODEL_STORAGE_PATH must lie below"),
        ('gpus = ["NVIDIA L40S"]', "gpus = []", "endpoint.gpus must be a list of texts"),
        ("max_workers = 5", "max_workers = 0", "endpoint.max_workers must be 1 or more"),
        ("execution_seconds = 600", "execution_seconds = 300", "must be 600 or more"),
        ("flashboot = true", "flashboot = 1", "endpoint.flashboot must be true or false"),
        ('"{{ RUNPOD_SECRET_avatar_redis_url }}"', f'"{PLAIN_SECRET}"', "REDIS_URL must be written"),
        ('LOG_LEVEL = "INFO"', 'RUNPOD_API_KEY = "x"', "RUNPOD_API_KEY is RunPod's own"),
    ],
)
def test_a_declaration_is_read_strictly(tmp_path: Path, old: str, new: str, reason: str) -> None:
    text = FILE.read_text()
    assert old in text
    file = tmp_path / "runpod.toml"
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(DeclarationError) as refused:
        declaration.read(file)
    assert reason in str(refused.value)
    assert PLAIN_SECRET not in str(refused.value)
