"""Where everything lies in the object store: the only place where a key is put together.

Keys are computed here, by the control side, from ids that it chose itself; a render worker
receives prefixes in its spec and no key is ever read from a report. Each attempt writes only
below its own prefix, so that a superseded worker can't overwrite its successor's files.
"""

ROOT = "org/"


def organization_prefix(organization_id: str) -> str:
    return f"{ROOT}{organization_id}/"


def asset_prefix(organization_id: str, asset_id: str) -> str:
    return f"{organization_prefix(organization_id)}assets/{asset_id}/"


def asset_file(organization_id: str, asset_id: str) -> str:
    return f"{asset_prefix(organization_id, asset_id)}file"


def job_prefix(organization_id: str, job_id: str) -> str:
    return f"{organization_prefix(organization_id)}jobs/{job_id}/"


def inputs_prefix(organization_id: str, job_id: str) -> str:
    return f"{job_prefix(organization_id, job_id)}in/"


def attempt_prefix(organization_id: str, job_id: str, attempt: int) -> str:
    return f"{job_prefix(organization_id, job_id)}a{attempt}/"


def input_file(prefix: str, name: str) -> str:
    """A normalised input of a job, below its `inputs_prefix`."""
    return f"{prefix}{name}"


def segment(prefix: str, window: int) -> str:
    """The encoded video of one window: a fragment that the shared init section makes playable."""
    return f"{prefix}segment-{window:05d}.m4s"


def init_section(prefix: str) -> str:
    """The fMP4 header that every segment of a job shares."""
    return f"{prefix}init.mp4"


def window_state(prefix: str, window: int) -> str:
    """The small state from which the window after `window` starts."""
    return f"{prefix}state-{window:05d}.safetensors"


def step_state(prefix: str) -> str:
    """The state inside a window that was handed back between two steps."""
    return f"{prefix}step.safetensors"


def output_video(prefix: str) -> str:
    return f"{prefix}output.mp4"


def thumbnail(prefix: str) -> str:
    return f"{prefix}thumbnail.jpg"


def result(prefix: str) -> str:
    """Written before the last report, so that a finished render is found although its report was lost."""
    return f"{prefix}result.json"
