"""A video to watch while it is rendered: an HLS playlist (RFC 8216) that grows with each finished window.

Its address fixes the job and needs no key. The playlist names its segments relative to itself, so their
addresses never change; each answers with a redirect to the store, signed at that moment.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil

from django.core import signing
from django.urls import reverse
from django.utils import timezone

from avatar_api.common.problems import Problem
from gpu_worker.contract import storage_keys
from gpu_worker.contract.presets import PRESETS, PresetName
from jobs.models import Job
from jobs.presenters.signed_urls import Download
from jobs.states import FINAL

SALT = "jobs.streams"
DAY_SECONDS = 24 * 3600
PLAYLIST_TYPE = "application/vnd.apple.mpegurl"
INIT_TYPE = "video/mp4"
SEGMENT_TYPE = "video/iso.segment"
# What is read of a job; its inputs and texts stay where they are.
COLUMNS = ("status", "num_frames", "preset", "window_prefixes", "expires_at", "expired")

# Players start a growing playlist near its end unless they are told otherwise, and the speech begins at 0.
HEADER = """\
#EXTM3U
#EXT-X-VERSION:7
#EXT-X-TARGETDURATION:{seconds}
#EXT-X-MEDIA-SEQUENCE:0
#EXT-X-PLAYLIST-TYPE:EVENT
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-START:TIME-OFFSET=0
#EXT-X-MAP:URI="init.mp4"
"""
END = "#EXT-X-ENDLIST\n"


@dataclass(frozen=True)
class Stream:
    """What the bearer of an address may watch, and until when."""

    job: Job
    until: datetime

    @property
    def is_complete(self) -> bool:
        return self.job.status in FINAL


def address(job: Job, base_url: str) -> str | None:
    """Where the job can be watched; None before its first window is finished and once its files are gone.

    It works for a day at least and for two at most, and never past the job's `expires_at`. All day (UTC)
    it is the same, so that a page which asks for the job again and again doesn't start its player anew.
    """
    if not job.window_prefixes or job.is_expired:
        return None
    until = (int(timezone.now().timestamp()) // DAY_SECONDS + 2) * DAY_SECONDS
    return base_url + reverse("stream", kwargs={"token": sign(job.id, until)})


def sign(job_id: str, until: int) -> str:
    return signing.Signer(salt=SALT).sign_object([job_id, until])


def read_token(token: str) -> Stream:
    """The stream that a token stands for.

    Raises:
        Problem: `not_found` when we never signed it, `expired` when its time or the job's is over.
    """
    try:
        job_id, until = signing.Signer(salt=SALT).unsign_object(token)
    except signing.BadSignature as error:
        raise Problem("not_found") from error
    if timezone.now().timestamp() > until:
        raise Problem("expired", "This URL has expired. Read the job for a new one.")
    job = Job.objects.filter(pk=job_id).only(*COLUMNS).first()
    if job is None or job.is_expired:
        raise Problem("expired")
    last = datetime.fromtimestamp(until, UTC)
    return Stream(job, min(last, job.expires_at) if job.expires_at else last)


def playlist(stream: Stream) -> str:
    """The playlist so far. Whatever becomes of the job, a later one begins with every earlier one."""
    job = stream.job
    finished = job.window_plan[: len(job.window_prefixes)]
    segments = "".join(
        f"#EXTINF:{window.duration_seconds:.2f},\nsegment-{window.index:05d}.m4s\n" for window in finished
    )
    longest = PRESETS[PresetName(job.preset)].windows.longest_seconds
    return HEADER.format(seconds=ceil(longest)) + segments + (END if stream.is_complete else "")


def init_section(stream: Stream) -> Download:
    """What every segment is played behind: that of the first attempt, because all attempts write the same."""
    key = storage_keys.init_section(_prefix(stream.job, 0))
    return Download(key, INIT_TYPE, f"{stream.job.id}-init.mp4")


def segment(stream: Stream, window: int) -> Download:
    """The encoded video of one window, where the attempt that finished it has left it."""
    key = storage_keys.segment(_prefix(stream.job, window), window)
    return Download(key, SEGMENT_TYPE, f"{stream.job.id}-{window:05d}.m4s")


def _prefix(job: Job, window: int) -> str:
    """Raises: Problem: `not_found` for a window that isn't finished."""
    if window >= len(job.window_prefixes):
        raise Problem("not_found")
    prefix: str = job.window_prefixes[window]
    return prefix
