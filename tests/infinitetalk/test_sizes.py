import pytest
import torch
from PIL import Image

from InfiniteTalk.sizes import (
    BUCKETS,
    CenterCrop,
    Resolution,
    Size,
    choose_bucket,
    resize_image,
    resize_masks,
)
from tests.infinitetalk.recordings import error, metadata, tensors

RESOLUTIONS: tuple[Resolution, Resolution] = ("480p", "720p")


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_every_bucket_is_the_published_one(resolution: Resolution) -> None:
    published = metadata("misc")["bucket_tables"][f"infinitetalk-{resolution[:-1]}"]
    ours = {f"{ratio:.2f}": [size.height, size.width] for ratio, size in BUCKETS[resolution].items()}
    assert ours == published


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_pictures_of_30_shapes_come_to_the_size_and_crop_of_the_reference(resolution: Resolution) -> None:
    for case in metadata("misc")["buckets"]:
        source, expected = Size(case["height"], case["width"]), case[resolution[:-1]]
        target = choose_bucket(source, BUCKETS[resolution])
        crop = CenterCrop.to_cover(source, target)
        assert target == Size(*expected["target"])
        assert crop.resized == Size(*expected["resized"])
        assert [crop.top, crop.left] == expected["crop_top_left"]


@pytest.mark.parametrize("case", range(6))
def test_pictures_and_masks_are_resized_and_cropped_as_by_the_reference(case: int) -> None:
    recorded, target = tensors("misc"), Size(*metadata("misc")["resize_cases"][case]["target"])
    picture = resize_image(Image.fromarray(recorded[f"resize/{case}/in"].numpy()), target)
    assert error(picture, (recorded[f"resize/{case}/out"] / 255 - 0.5) * 2) == 0
    masks = resize_masks(recorded[f"resize/{case}/mask_in"], target)
    assert torch.equal(masks, recorded[f"resize/{case}/mask_out"])
