"""The hub of models, as little of it as is needed: what a repository holds, and a file's bytes."""

import os
from dataclasses import dataclass
from pathlib import Path

from httpx2 import HTTPError
from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.file_download import http_get
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

from gpu_worker.model_store.errors import HubError
from gpu_worker.model_store.progress import Progress
from gpu_worker.model_store.sources import Source

DEFAULT_ENDPOINT = "https://huggingface.co"


@dataclass(frozen=True)
class ListedFile:
    """A file of a repository: its commit, path, size in bytes, and what identifies its content."""

    revision: str
    path: str
    size: int
    sha256: str | None
    git_oid: str


class Hub:
    """The hub at HF_ENDPOINT, with HF_TOKEN where there is one."""

    def __init__(self, endpoint: str | None = None, token: str | None = None) -> None:
        self._endpoint = endpoint or os.environ.get("HF_ENDPOINT", DEFAULT_ENDPOINT)
        self._token = token or os.environ.get("HF_TOKEN") or False
        self._api = HfApi(endpoint=self._endpoint, token=self._token)

    def list_files(self, source: Source, revision: str) -> list[ListedFile]:
        """The wanted files of a repository at a revision.

        Raises:
            HubError: The hub refuses, stays away, or lacks a wanted file.
        """
        try:
            commit = self._api.repo_info(source.repo, revision=revision, repo_type=source.repo_type).sha
            assert commit is not None
            entries = list(
                self._api.list_repo_tree(
                    source.repo, recursive=True, revision=commit, repo_type=source.repo_type
                )
            )
        except HTTPError as error:
            raise HubError(explain(error, source.repo)) from error
        files = [entry for entry in entries if isinstance(entry, RepoFile) and source.wants(entry.path)]
        for pattern in source.files:
            if not any(source.wants(file.path) and _matches(file.path, pattern) for file in files):
                raise HubError(f"{source.repo} at {revision} holds no file {pattern}: was it renamed?")
        return [
            ListedFile(commit, file.path, file.size, file.lfs.sha256 if file.lfs else None, file.blob_id)
            for file in files
        ]

    def fetch(self, source: Source, revision: str, path: str, size: int, target: Path) -> None:
        """Get a file's bytes into `target`, going on behind those that are there already.

        Raises:
            HTTPError: The hub refuses or stays away.
            OSError: The size is another, or `target` can't be written.
        """
        with target.open("ab") as file:
            http_get(
                hf_hub_url(
                    source.repo,
                    path,
                    revision=revision,
                    repo_type=source.repo_type,
                    endpoint=self._endpoint,
                ),
                file,
                resume_size=file.tell(),
                headers=build_hf_headers(token=self._token),
                expected_size=size,
                displayed_filename=path,
                tqdm_class=Progress,
            )


def _matches(path: str, pattern: str) -> bool:
    return Source("", "", (pattern,), "").wants(path)


def status_of(error: Exception) -> int | None:
    """The HTTP status that the hub answered with, or None when there was no answer."""
    response = error.response if isinstance(error, HfHubHTTPError) else None
    return None if response is None else response.status_code


def explain(error: Exception, repo: str) -> str:
    """A sentence about what the hub said, without its addresses, which may be signed."""
    match status_of(error):
        case 401 | 403:
            return f"the hub denies access to {repo}: check HF_TOKEN, and that its owner accepted the terms"
        case 404:
            return f"the hub has no such revision or file in {repo}"
        case None:
            return f"the hub can't be reached for {repo} ({type(error).__name__}): check the network"
        case status:
            return f"the hub answers {status} for {repo}: try again later"
