"""What a job shows of its picture, and what a client learns about the faces in it."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pytest_django import Settings
from redis import Redis
from rest_framework.test import APIClient

from accounts.models import Organization
from gpu_worker.contract.coordination import WorkerFacts, write_worker
from gpu_worker.contract.engines import EngineName
from gpu_worker.contract.framing import Box
from gpu_worker.contract.lanes import lane_of
from gpu_worker.contract.presets import PresetName
from gpu_worker.contract.queues import render_queue
from gpu_worker.contract.spec import RenderSpec
from jobs.lifecycle import fetching
from jobs.models import Job
from jobs.scheduling import dispatch
from tests import factories
from tests.jobs.clients import form, wav
from tests.jobs.file_server import serving_files
from tests.jobs.render_workers import register

pytestmark = pytest.mark.usefixtures("redis", "store")

DRAWING = Path(__file__).parents[2] / "gpu_worker/pictures/drawing.png"
PORTRAITS = Path(__file__).parents[3] / "docs/images/portraits"
CROP = {"x": 0.25, "y": 0.0, "width": 0.5, "height": 0.5}
OLD_WORKER = WorkerFacts("worker", "preview", "cpu", 0, 0, 1, None, None, None, None, 0, 0, spec_version=1)


def picture(width: int, height: int, *faces: tuple[int, int, int]) -> bytes:
    """A grey wall with drawn portraits, each with its left, top and side in pixels."""
    wall = Image.new("RGB", (width, height), (180, 180, 180))
    with Image.open(DRAWING) as drawing:
        for left, top, side in faces:
            wall.paste(drawing.convert("RGB").resize((side, side)), (left, top))
    buffer = io.BytesIO()
    wall.save(buffer, "PNG")
    return buffer.getvalue()


TALL = picture(400, 3200, (0, 100, 400))
COUPLE = picture(1200, 600, (0, 0, 600), (600, 0, 600))


def estimated(client: APIClient, image: bytes, **fields: str) -> dict[str, Any]:
    answer = client.post("/v1/estimates", form(image, wav(1), **fields))
    assert answer.status_code == 200, answer.json()
    return dict(answer.json())


def framing_codes(client: APIClient, image: bytes, **fields: str) -> set[str]:
    codes = {"no_face_found", "several_faces", "face_near_edge", "face_too_small"}
    return codes & {warning["code"] for warning in estimated(client, image, **fields)["warnings"]}


def test_a_tall_picture_is_cropped_around_its_face(acme_client: APIClient) -> None:
    crop = estimated(acme_client, TALL, resolution="480p")["input"]["crop"]

    assert (crop["x"], crop["width"]) == (0.0, 1.0)
    assert crop["y"] < 0.1
    assert crop["height"] == pytest.approx(0.5, abs=0.01)
    assert framing_codes(acme_client, TALL) == set()


def test_the_crop_is_around_the_speaker_in_the_box(acme_client: APIClient) -> None:
    wide = picture(3200, 400, (0, 0, 400), (2700, 40, 320))
    boxes = [{"x": 0.8, "y": 0.0, "width": 0.2, "height": 1.0}]

    first = estimated(acme_client, wide)["input"]["crop"]
    second = estimated(acme_client, wide, speaker_boxes=json.dumps(boxes))["input"]["crop"]

    assert first["x"] == 0
    assert second["x"] + second["width"] > 0.95


def test_a_crop_that_was_asked_for_is_taken(acme_client: APIClient) -> None:
    job = acme_client.post("/v1/jobs", form(COUPLE, wav(1), crop=json.dumps(CROP))).json()

    assert "faces" not in Job.objects.get().inputs["reference"]
    assert job["input"]["crop"] == CROP
    assert acme_client.get(f"/v1/jobs/{job['id']}").json()["input"]["crop"] == CROP


@pytest.mark.parametrize(
    ("crop", "faults"),
    [
        ({**CROP, "x": 0.6}, {"crop.non_field_errors"}),
        ({**CROP, "width": 0}, {"crop.non_field_errors"}),
        ({"x": 0, "y": 0, "width": 2, "height": 1}, {"crop.width"}),
        ({"x": 0, "y": 0, "width": 0.05, "height": 0.5}, {"crop"}),
    ],
)
def test_a_crop_that_is_none_is_refused(
    acme_client: APIClient, crop: dict[str, float], faults: set[str]
) -> None:
    answer = acme_client.post("/v1/jobs", form(COUPLE, wav(1), crop=json.dumps(crop)))

    assert answer.status_code == 422
    assert {error["field"].split(".non")[0] for error in answer.json()["errors"]} == {
        fault.split(".non")[0] for fault in faults
    }


@pytest.mark.parametrize(
    ("image", "fields", "codes"),
    [
        (picture(400, 400), {}, {"no_face_found"}),
        (picture(600, 600, (0, 0, 600)), {}, set()),
        (COUPLE, {}, {"several_faces"}),
        (COUPLE, {"crop": json.dumps({"x": 0, "y": 0, "width": 0.5, "height": 1})}, set()),
        (picture(1000, 1000, (-230, 200, 700)), {}, {"face_near_edge"}),
        (picture(1600, 1600, (600, 600, 330)), {}, {"face_too_small"}),
        (TALL, {"crop": json.dumps({"x": 0, "y": 0.4, "width": 1, "height": 0.5})}, {"no_face_found"}),
    ],
    ids=["a wall", "a portrait", "two", "one of two", "at the edge", "far away", "cropped away"],
)
def test_estimates_warn_of_faces(
    acme_client: APIClient, image: bytes, fields: dict[str, str], codes: set[str]
) -> None:
    assert framing_codes(acme_client, image, **fields) == codes


def test_a_picture_at_an_address_is_framed_once_it_is_there(
    acme_client: APIClient, settings: Settings
) -> None:
    settings.OUTBOUND_ALLOW_PRIVATE = True
    with serving_files() as server:
        server.files |= {"/p.png": TALL, "/s.wav": wav(1)}
        sent = {"image_url": server.url("/p.png"), "audio_url": server.url("/s.wav")}
        job = acme_client.post("/v1/jobs", sent, format="json").json()
        assert job["input"]["crop"] is None
        for fetch in fetching.claim_fetches(10):
            fetching.fetch_inputs(fetch)

    assert acme_client.get(f"/v1/jobs/{job['id']}").json()["input"]["crop"]["y"] < 0.1


def sent_spec(redis: Redis, *versions: int) -> RenderSpec | None:
    """What is sent next to workers that read specs up to these versions, after a step was saved of it."""
    redis.delete("workers")
    for number, version in enumerate(versions):
        facts = {**vars(OLD_WORKER), "name": f"worker-{number}", "spec_version": version}
        write_worker(redis, WorkerFacts(**facts))
    queue = render_queue(lane_of(EngineName.PREVIEW, PresetName.FAST), redis)
    queue.empty()
    Job.objects.filter(attempt__gt=0).update(dispatched_at=None, step_prefix="org/o/jobs/j/a1/")
    dispatch.dispatch_jobs()
    return RenderSpec.from_dict(queue.jobs[0].args[0]) if queue.jobs else None


def framed_job(acme: Organization, **fields: Any) -> Job:
    job = factories.job(acme, **fields)
    job.inputs["reference"] = {**job.inputs["reference"], "crop": CROP}
    job.save()
    return job


def test_the_worker_gets_the_crop(acme: Organization, redis: Redis) -> None:
    register(redis, 1)
    framed_job(acme)
    spec = sent_spec(redis, 2)
    assert spec is not None
    assert spec.crop == Box(**CROP)


def test_a_job_that_began_on_an_old_worker_keeps_the_centre(
    acme: Organization, acme_client: APIClient, redis: Redis
) -> None:
    register(redis, 1)
    job = framed_job(acme)
    for versions in ((1,), (2,)):
        spec = sent_spec(redis, *versions)
        assert spec is not None
        assert spec.crop is None
    assert acme_client.get(f"/v1/jobs/{job.id}").json()["input"]["crop"] is None


def test_a_crop_that_was_asked_for_waits_for_a_worker_that_knows_it(acme: Organization, redis: Redis) -> None:
    register(redis, 1)
    framed_job(acme, crop={**CROP, "x": 0.5})
    assert sent_spec(redis, 1) is None
    spec = sent_spec(redis, 1, 2)
    assert spec is not None
    assert spec.crop == Box(**{**CROP, "x": 0.5})


def test_a_retry_shows_the_same(acme_client: APIClient) -> None:
    job = acme_client.post("/v1/jobs", form(TALL, wav(1))).json()
    acme_client.post(f"/v1/jobs/{job['id']}/cancel")
    again = acme_client.post(f"/v1/jobs/{job['id']}/retry").json()

    assert job["input"]["crop"]["height"] < 1
    assert again["input"]["crop"] == job["input"]["crop"]


@pytest.mark.parametrize(
    ("name", "warned"),
    [
        ("good", set()),
        ("small", {"face_too_small"}),
        ("edge", {"face_near_edge"}),
        ("dark", {"no_face_found"}),
        ("two", {"several_faces"}),
    ],
)
def test_the_pictures_of_the_guide_are_warned_of_as_it_says(
    acme_client: APIClient, name: str, warned: set[str]
) -> None:
    assert framing_codes(acme_client, (PORTRAITS / f"{name}.webp").read_bytes()) == warned
