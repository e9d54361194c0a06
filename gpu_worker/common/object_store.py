"""The object store, from the environment alone: web, control and render workers use the same one.

Cloudflare R2 (or any S3 server) when R2_BUCKET is set; else a folder, served by the API itself.
This module is Django-free, because the render worker's settings use it too.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environs import Env, EnvValidationError


@dataclass(frozen=True)
class Timeouts:
    """How long a request to the store may take.

    Attributes:
        connect_seconds: Until there is a connection.
        read_seconds: Until something of the answer comes.
        attempts: How often a request that failed is made.
    """

    connect_seconds: float
    read_seconds: float
    attempts: int


SERVING = Timeouts(connect_seconds=2, read_seconds=10, attempts=2)
"""Where somebody waits: a store that hangs is told as away."""
RENDERING = Timeouts(connect_seconds=5, read_seconds=60, attempts=5)
"""Where minutes of a GPU are at stake."""


def storage_backend(env: Env, default_folder: Path, timeouts: Timeouts = SERVING) -> dict[str, Any]:
    """The `default` entry of STORAGES.

    Raises:
        EnvValidationError: R2_BUCKET is set, but the rest of what it needs isn't.
    """
    bucket = env.str("R2_BUCKET", "")
    if not bucket:
        return folder_backend(env.path("STORAGE_DIR", default_folder))
    return {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": r2_options(env, bucket, timeouts)}


def folder_backend(folder: Path) -> dict[str, Any]:
    return {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": str(folder), "allow_overwrite": True},
    }


def r2_options(env: Env, bucket: str, timeouts: Timeouts) -> dict[str, Any]:
    # boto3 is imported where an S3 store is configured, and nowhere else: it costs 0.2 s at start.
    from boto3.s3.transfer import TransferConfig
    from botocore.config import Config

    return {
        "bucket_name": bucket,
        "access_key": env.str("R2_ACCESS_KEY_ID"),
        "secret_key": env.str("R2_SECRET_ACCESS_KEY"),
        "endpoint_url": r2_endpoint(env),
        "region_name": env.str("R2_REGION", "auto"),
        "default_acl": None,
        "file_overwrite": True,
        "querystring_auth": True,
        # One piece of 8 MB at a time, and what is read goes to disk: ten at once, and files in memory, are
        # the defaults, with which every upload and every asset of a client would swell the process.
        "transfer_config": TransferConfig(use_threads=False),
        "max_memory_size": 2**20,
        "client_config": Config(
            signature_version="s3v4",
            # R2 answers the checksums that boto3 sends by default since 1.36 with an error.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"total_max_attempts": timeouts.attempts, "mode": "standard"},
            connect_timeout=timeouts.connect_seconds,
            read_timeout=timeouts.read_seconds,
            s3={"addressing_style": "path"},
        ),
    }


def r2_endpoint(env: Env) -> str:
    if endpoint := env.str("R2_ENDPOINT_URL", ""):
        return endpoint
    if account := env.str("R2_ACCOUNT_ID", ""):
        return f"https://{account}.r2.cloudflarestorage.com"
    raise EnvValidationError("R2_BUCKET needs R2_ACCOUNT_ID or R2_ENDPOINT_URL beside it", [])
