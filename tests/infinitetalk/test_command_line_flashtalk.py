"""The command line with `--task flashtalk-14B`."""

import json
from pathlib import Path

import pytest
from PIL import Image

from InfiniteTalk.command_line.arguments import build_parser
from InfiniteTalk.command_line.order import read_order
from InfiniteTalk.generate_infinitetalk import main
from InfiniteTalk.sizes import Size

from .test_command_line import probe, write_speech


@pytest.fixture
def arguments(tiny_checkpoint: Path, tmp_path: Path) -> list[str]:
    """What renders 0.4 s with SoulX-FlashTalk-14B in one folder, as it is published."""
    folder = tmp_path / "weights"
    folder.mkdir()
    for source in ("Wan2.1-I2V-14B-480P", "SoulX-FlashTalk-14B"):
        for file in (tiny_checkpoint / source).iterdir():
            link = folder / file.name
            link.unlink(missing_ok=True)
            link.symlink_to(file)
    Image.linear_gradient("L").resize((80, 60)).convert("RGB").save(tmp_path / "face.png")
    write_input(tmp_path, person1=write_speech(tmp_path / "one.wav", 0.4))
    return [
        "--task=flashtalk-14B",
        f"--ckpt_dir={folder}",
        f"--wav2vec_dir={tiny_checkpoint / 'chinese-wav2vec2-base'}",
        f"--input_json={tmp_path / 'input.json'}",
        f"--save_file={tmp_path / 'talk'}",
        "--mode=streaming",
    ]


def write_input(folder: Path, **people: str) -> None:
    content = {"prompt": "Somebody talks.", "cond_video": "face.png", "cond_audio": people}
    (folder / "input.json").write_text(json.dumps(content))


def test_it_renders_with_one_folder_of_weights(arguments: list[str], tmp_path: Path) -> None:
    main([*arguments, "--size", "64x64", "--sample_steps", "2"])
    found = probe(tmp_path / "talk.mp4")
    assert (found.num_frames, found.size) == (10, (64, 64))
    assert found.seconds_of_sound == pytest.approx(0.4, abs=0.05)


def test_it_samples_four_steps_at_the_size_of_the_pictures_shape(arguments: list[str]) -> None:
    order = read_order(build_parser().parse_args(arguments))
    assert order.size == Size(512, 672)
    assert order.settings.schedule.tolist() == pytest.approx([1000, 937.5, 833.333, 625, 0], abs=1e-3)
    assert (order.settings.num_frames, order.settings.motion_frames) == (33, 5)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("--sample_steps 8", "steps must be 4 or 2, not 8"),
        ("--size infinitetalk-720", "renders at about 768x448"),
        ("--sample_audio_guide_scale 2", "has no choice of it"),
        ("--lora_dir lora.safetensors", "has no choice of it"),
    ],
)
def test_what_the_weights_were_not_trained_for_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str], more: str, reason: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, *more.split()])
    assert ended.value.code == 2
    assert reason in capsys.readouterr().err


def test_two_people_are_refused(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two = write_speech(tmp_path / "two.wav", 0.4)
    write_input(tmp_path, person1="one.wav", person2=two)
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "weights for one person" in capsys.readouterr().err
