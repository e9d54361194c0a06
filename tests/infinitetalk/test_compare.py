"""Settings compared on one input: a film of each, all beside each other, a sheet, receipts."""

import json
from pathlib import Path

import av
import pytest
from PIL import Image

from InfiniteTalk.compare import LABEL_HEIGHT, MOMENTS, main

from .conftest import LIGHTX2V
from .test_command_line import checkpoint, write_speech

VARIANTS = {
    "distilled": "--sample_timesteps 1000 500 --sample_shift 5 --sample_audio_guide_scale 1",
    "without-lora": "--sample_steps 1 --sample_audio_guide_scale 2 --lora_scale 0",
}


@pytest.fixture
def arguments(prepared_bf16: Path, tmp_path: Path) -> list[str]:
    Image.linear_gradient("L").resize((80, 60)).convert("RGB").save(tmp_path / "face.png")
    speech = {"person1": write_speech(tmp_path / "speech.wav", 0.4)}
    request = {"prompt": "Somebody talks.", "cond_video": "face.png", "cond_audio": speech}
    (tmp_path / "input.json").write_text(json.dumps(request))
    (tmp_path / "variants.json").write_text(json.dumps(VARIANTS))
    small = "--size 48x32 --frame_num 13 --motion_frame 5 --sample_text_guide_scale 1"
    lora = prepared_bf16 / "InfiniteTalk" / "lora" / f"{LIGHTX2V}.safetensors"
    return [
        *["--variants", str(tmp_path / "variants.json"), "--output", str(tmp_path / "out"), "--"],
        *[*small.split(), *checkpoint(prepared_bf16), "--lora_dir", str(lora)],
        *["--input_json", str(tmp_path / "input.json")],
    ]


def test_variants_are_laid_side_by_side_with_seconds_and_receipts(
    arguments: list[str], tmp_path: Path
) -> None:
    main(arguments)

    receipts = json.loads((tmp_path / "out" / "receipts.json").read_text())
    assert [receipt["name"] for receipt in receipts] == list(VARIANTS)
    assert receipts[0]["timesteps"] == pytest.approx([1000, 833.33, 0], abs=0.01)
    assert [receipt["passes"] for receipt in receipts] == [1, 2]
    assert [list(receipt["loras"].values()) for receipt in receipts] == [[1.2], [0.0]]
    assert all(receipt["seconds"] > 0 for receipt in receipts)
    with Image.open(tmp_path / "out" / "sheet.png") as sheet:
        assert sheet.size == (32 * MOMENTS, 2 * (48 + LABEL_HEIGHT))
    with av.open(str(tmp_path / "out" / "film.mp4")) as film:
        pictures = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
        assert len(film.streams.audio) == 1
    assert {picture.shape for picture in pictures} == {(48 + LABEL_HEIGHT, 64, 3)}
    assert len(pictures) == 10
    shown = pictures[5][LABEL_HEIGHT:].astype(int)
    assert abs(shown[:, :32] - shown[:, 32:]).mean() > 1


@pytest.mark.parametrize(
    ("variants", "reason"),
    [
        ({"a": "--size 64x64"}, "in common"),
        ({"a": "--use_teacache"}, "in common"),
        ({"../a": ""}, "can't name a variant"),
        (["a"], "must hold an object"),
        ({"a": "--sample_timesteps 500 1000"}, "must fall"),
    ],
)
def test_what_can_t_be_compared_is_refused_before_a_model_is_loaded(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], variants: object, reason: str
) -> None:
    (tmp_path / "variants.json").write_text(json.dumps(variants))
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert reason in capsys.readouterr().err
