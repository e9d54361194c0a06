"""The table of environment variables in docs/DEPLOYMENT.md, from the code that reads them.

    python -m ops.environment_table        writes it

Which variables there are, whether production demands them and what they default to is read from the source:
every `env.str("NAME", …)` and `os.environ.get("NAME", …)`. What they are for is said here, and a test fails
when a variable has no meaning, a meaning no variable, or the document is behind.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
DOCUMENT = REPOSITORY / "docs" / "DEPLOYMENT.md"
BEGIN, END = "<!-- generated: environment -->", "<!-- end -->"

SOURCES = ("avatar_api", "accounts", "jobs", "console", "gpu_worker", "InfiniteTalk")
# A laptop's and the tests' settings have defaults of their own; what is embedded is of no deployment.
LEFT_OUT = ("avatar_api/settings/local.py", "avatar_api/settings/test.py", "avatar_api/embedded/")
# What the operating system says.
NOT_OURS = {"PATH"}
RENDER_WORKER_SETTINGS = "gpu_worker/settings.py"
PRODUCTION_SETTINGS = "avatar_api/settings/production.py"

MEANINGS = {
    "ALLOWED_HOSTS": "host names under which clients reach the API, with commas between",
    "CSRF_TRUSTED_ORIGINS": "origins of other hosts whose pages may post forms here, with commas between",
    "DATABASE_URL": "Postgres 16 or newer: `postgresql://user:password@host/name?sslmode=require`",
    "EMAIL_URL": "where mail goes: `submission://user:password@host`, or `file:///folder` for files; "
    "unset, none is sent",
    "GITHUB_CLIENT_ID": "log-in by GitHub: the OAuth app's id; its callback is "
    "`/account/github/login/callback/`",
    "GITHUB_CLIENT_SECRET": "and its secret",
    "GOOGLE_CLIENT_ID": "log-in by Google: the OAuth client's id; its callback is "
    "`/account/google/login/callback/`",
    "GOOGLE_CLIENT_SECRET": "and its secret",
    "GPU_BUDGET_USD_PER_DAY": "what GPUs may cost a day, for the alert CostOfTheDay; 0: no budget",
    "GPU_USD_PER_SECOND": "what a second of your GPU costs, for metrics and the admin",
    "GRANIAN_PORT": "where the web process listens, and where the image's health check asks; Granian has "
    "[more](https://github.com/emmett-framework/granian#options)",
    "HF_ENDPOINT": "another hub, for `init_storage.sh` alone",
    "HF_TOKEN": "token of the Hugging Face Hub, for `init_storage.sh` alone",
    "HISTORY_DAYS": "how long webhook deliveries and the events of jobs can be looked up",
    "INFINITETALK_COMPILE": "compile the transformer's blocks: a slower first window, faster ones after",
    "INFINITETALK_SIZE": "height and width to render at whatever is asked, for tiny checkpoints on a CPU",
    "INFINITETALK_STEP_CACHING": "change between steps of `quality` that may be skipped; 0.2 is customary, "
    "0 computes every step",
    "LIVE_ENGINE": "what renders live jobs; `preview` does so on a CPU",
    "LOG_LEVEL": "least level that is logged",
    "LOG_STYLE": "`json` or `line`; the GPU image sets `json`",
    "MAIL_FROM": "sender of mails",
    "MAX_QUEUED_JOBS": "jobs that may wait, of all tenants together, before new ones are answered with 503",
    "MAX_UPLOAD_BYTES": "largest body of a request; a plan may allow less",
    "METRICS_TOKEN": "who sends it as a bearer token may read `/metrics`; unset, there is no such page",
    "MODEL_STORAGE_PATH": "folder of the prepared models",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "an OpenTelemetry collector to send traces to, by OTLP over HTTP; the "
    "SDK's other "
    "`OTEL_` variables count, too",
    "OUTBOUND_ALLOW_PRIVATE": "for development: webhooks and fetches may reach private addresses",
    "PROBE_MEMORY_BYTES": "address space of all uploaded files that are checked at once in a process: "
    "1.5 GiB for a picture or video, of which it uses 600 MiB at most, half of that for a recording",
    "PROMETHEUS_MULTIPROC_DIR": "a folder in memory, needed where one server runs several web processes: "
    "each then "
    "tells what all of them count",
    "PUBLIC_URL": "how clients write the API's address; links are built from it",
    "R2_ACCESS_KEY_ID": "key of the bucket; needed with `R2_BUCKET`",
    "R2_ACCOUNT_ID": "Cloudflare account of the bucket; this or `R2_ENDPOINT_URL` is needed with `R2_BUCKET`",
    "R2_BUCKET": "the bucket of all files; unset, files lie in `STORAGE_DIR`",
    "R2_ENDPOINT_URL": "any S3 server instead of Cloudflare's",
    "R2_REGION": "region of the bucket",
    "R2_SECRET_ACCESS_KEY": "secret of that key; needed with `R2_BUCKET`",
    "REDIS_URL": "Redis 7, Valkey 8 or newer, over TLS: `rediss://user:password@host:6379/0`; render workers "
    "get a user of their own, and without it look for one on their own machine",
    "RUNPOD_API_KEY": "may use the endpoint; needed with `RUNPOD_ENDPOINT_ID`, and by the command "
    "`gpu_worker.endpoint plan`. Never in a render worker",
    "RUNPOD_BASE_URL": "where endpoints are asked for workers",
    "RUNPOD_ENDPOINT_ID": "the RunPod endpoint whose workers are woken when jobs wait for a GPU; unset, "
    "nobody is",
    "RUNPOD_MAX_WORKERS": "no more wakes are outstanding than this, however many jobs wait",
    "SALT_KEY": "with `SECRET_KEY` makes the key of what is encrypted in the database; 50 characters or more",
    "SPEECH_ENGINE": "what says texts: `espeak`, like a machine, `kokoro`, or a package; unset, nothing does",
    "SPEECH_MODEL_PATH": "folder of the prepared Kokoro-82M; needed with `SPEECH_ENGINE=kokoro`",
    "SPEECH_PYTHON": "a Python that has what the speech engine needs; unset, our own",
    "SECRET_KEY": "signs sessions and links, the same for all; 50 characters or more",
    "SECURE_HSTS_SECONDS": "how long browsers insist on TLS",
    "SECURE_SSL_REDIRECT": "send plain HTTP to HTTPS",
    "SENTRY_DSN": "where errors are sent to; with `OTEL_EXPORTER_OTLP_ENDPOINT` the packages of "
    "`requirements/telemetry.txt` are needed, which the images have",
    "SIGN_UP": "who may make an account: nobody (`closed`), whoever is invited (`invitation`), whoever an "
    "operator then sets active (`approval`), everybody (`open`)",
    "SIGN_UP_CAPTCHA_FIELD": "dotted path of a form field of a captcha's package, installed beside, "
    "for sign-up",
    "SIGN_UP_PLAN": "plan of organizations that sign-up makes",
    "STAFF_SECOND_FACTOR": "the admin is entered with a second factor only",
    "STATIC_ROOT": "collected files of admin and documentation; the image brings them",
    "STORAGE_DIR": "folder of all files where there is no bucket; web, control and render workers share it",
    "TRUSTED_PROXY_HOPS": "proxies of yours in front, each of which appends to X-Forwarded-For; "
    "`check --deploy` wants one at least",
    "WEB_THREADS": "requests that the web process serves at once, those that wait for events not counted",
    "WORKER_GPUS": "how many GPUs of one machine share each render",
    "YIELD_AFTER_SECONDS": "after so long a render may be asked to yield its worker to other tenants that "
    "wait",
}


@dataclass(frozen=True)
class Reading:
    """One place where a variable is read. `default` is its source text; None: it is demanded."""

    name: str
    default: str | None
    file: str


def readings() -> list[Reading]:
    """Every place, in the order of the files."""
    return [reading for file in source_files() for reading in readings_of(file)]


def source_files() -> Iterator[str]:
    for package in SOURCES:
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            file = path.relative_to(REPOSITORY).as_posix()
            if not file.startswith(LEFT_OUT):
                yield file


def readings_of(file: str) -> Iterator[Reading]:
    for node in ast.walk(ast.parse((REPOSITORY / file).read_text())):
        match node:
            case ast.Call(
                func=ast.Attribute(value=source, attr=method), args=[ast.Constant(value=str(name)), *rest]
            ) if is_environment(source) and name not in NOT_OURS and method != "setdefault":
                # `os.environ.get` without a default gives None; a reader of `environs` demands a value.
                missing = "None" if method == "get" else None
                yield Reading(name, ast.unparse(rest[0]) if rest else missing, file)
            case ast.Subscript(value=source, slice=ast.Constant(value=str(name)), ctx=ast.Load()) if (
                is_environment(source) and name not in NOT_OURS
            ):
                yield Reading(name, None, file)


def is_environment(node: ast.expr) -> bool:
    return ast.unparse(node) in ("env", "os.environ")


def table() -> str:
    lines = [
        "| variable | web, control | render worker | default | what for |",
        "| --- | --- | --- | --- | --- |",
    ]
    found = readings()
    for name in sorted({reading.name for reading in found}):
        places = [reading for reading in found if reading.name == name]
        control, worker = need(places, of_worker=False), need(places, of_worker=True)
        lines.append(f"| `{name}` | {control} | {worker} | {default(places)} | {MEANINGS[name]} |")
    return "\n".join(lines)


def need(places: list[Reading], *, of_worker: bool) -> str:
    """Whether a side must have it, may have it, or doesn't read it."""
    mine = [place for place in places if is_read_by(place.file, of_worker=of_worker)]
    if not mine:
        return ""
    demanded = any(place.default is None and place.file == PRODUCTION_SETTINGS for place in mine)
    return "**must**" if demanded else "may"


def is_read_by(file: str, *, of_worker: bool) -> bool:
    if file.startswith(("gpu_worker/common/", "gpu_worker/contract/")):
        return True
    return file.startswith(("gpu_worker/", "InfiniteTalk/")) == of_worker


def default(places: list[Reading]) -> str:
    """As production has it; constants that a module names are looked up there."""
    literal = [place.default for place in places if place.default not in (None, "None")]
    if not literal or any(place.default is None and place.file == PRODUCTION_SETTINGS for place in places):
        return ""
    text = SPELLED_OUT.get(str(literal[-1]), str(literal[-1])).strip("'\"")
    return f"`{text}`" if text not in ("", "[]") else ""


SPELLED_OUT = {
    "600 * 1024 * 1024": "629145600",
    "31536000": "31536000",
    "DEFAULT_PATH": "/runpod-volume/models",
    "DEFAULT_ENDPOINT": "https://huggingface.co",
    "BASE_DIR / 'staticfiles'": "staticfiles",
    "default_folder": ".avatar/store",
    "False": "false",
    "True": "true",
}
"""Defaults that aren't written as they are set."""


def with_table(document: str) -> str:
    """The document with the table as it should be."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    DOCUMENT.write_text(with_table(DOCUMENT.read_text()))
