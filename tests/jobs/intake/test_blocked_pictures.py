"""Pictures that an operator has blocked: refused however they come, and nothing else is."""

import io
from itertools import combinations
from pathlib import Path

import pytest
from PIL import Image, ImageOps
from rest_framework.test import APIClient

from accounts.models import Organization, User
from jobs.intake.blocked_pictures import MAX_DIFFERENCE, difference
from jobs.intake.probes.image import difference_hash
from jobs.lifecycle import take_down
from jobs.models import BlockedPicture, Job
from tests.jobs.clients import form

SAMPLES = Path(__file__).resolve().parents[3] / "samples"
SHOWN = SAMPLES.parent / "docs" / "images" / "portraits"
# Of different people or places each.
PICTURES = [SAMPLES / "portrait.png", SAMPLES / "couple.png", SHOWN / "small.webp", SHOWN / "edge.webp"]


def hash_of(path: Path) -> str:
    with Image.open(path) as image:
        return difference_hash(image.convert("RGB"))


def test_another_size_and_compression_is_the_same_picture() -> None:
    with Image.open(SAMPLES / "portrait.png") as image:
        original = image.convert("RGB")
    buffer = io.BytesIO()
    ImageOps.scale(original, 0.4).save(buffer, "JPEG", quality=40)
    with Image.open(buffer) as again:
        assert difference(difference_hash(again), difference_hash(original)) <= MAX_DIFFERENCE // 2


def test_other_pictures_are_far_away() -> None:
    for one, other in combinations(map(hash_of, PICTURES), 2):
        assert difference(one, other) > 3 * MAX_DIFFERENCE


@pytest.fixture
def blocked(acme_client: APIClient, portrait: bytes, speech: bytes, store: Path) -> Job:
    """A job whose picture was blocked after a report."""
    created = acme_client.post("/v1/jobs", form(portrait, speech)).json()
    operator = User.objects.create_superuser("olivia@example.com", "a long enough password")
    report = take_down.take_in(named=created["id"], reason="likeness", details="", email="")
    take_down.remove_and_block(report, operator)
    return Job.objects.get(pk=created["id"])


@pytest.mark.usefixtures("redis")
@pytest.mark.parametrize("address", ["/v1/jobs", "/v1/estimates"])
def test_a_blocked_picture_is_refused_with_its_category_and_no_more(
    acme_client: APIClient, blocked: Job, portrait: bytes, speech: bytes, address: str
) -> None:
    smaller = io.BytesIO()
    with Image.open(io.BytesIO(portrait)) as image:
        ImageOps.scale(image, 0.75).save(smaller, "PNG")
    answer = acme_client.post(address, form(smaller.getvalue(), speech))
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {
            "field": "image",
            "code": "content_rejected",
            "detail": "This picture may not be used here (likeness).",
        }
    ]


@pytest.mark.usefixtures("redis", "store")
def test_an_earlier_job_with_the_picture_is_not_retried(
    acme: Organization, acme_client: APIClient, portrait: bytes, speech: bytes
) -> None:
    created = acme_client.post("/v1/jobs", form(portrait, speech)).json()
    acme_client.post(f"/v1/jobs/{created['id']}/cancel")
    picture_hash = Job.objects.get().inputs["reference"]["picture_hash"]
    BlockedPicture.objects.create(picture_hash=picture_hash, category="minor")
    answer = acme_client.post(f"/v1/jobs/{created['id']}/retry")
    assert answer.json()["errors"][0]["code"] == "content_rejected"
