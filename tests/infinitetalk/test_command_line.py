import json
import shutil
import subprocess
import sys
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from InfiniteTalk.command_line.arguments import build_parser
from InfiniteTalk.command_line.order import read_order
from InfiniteTalk.conditioning import PixelBox
from InfiniteTalk.generate_infinitetalk import main
from InfiniteTalk.guidance import AdaptiveProjectedGuidance
from InfiniteTalk.input_file import InputFileError, read_input
from InfiniteTalk.reference import VideoReference
from InfiniteTalk.settings import RenderSettings
from InfiniteTalk.sizes import Size
from tests.media_samples import write_video

from .conftest import FUSIONX, LIGHTX2V

ROOT = Path(__file__).parents[2]
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1000\n"
SMALL = "--size 64x64 --frame_num 5 --motion_frame 1 --sample_steps 1 --sample_text_guide_scale 1"


@dataclass(frozen=True)
class Probe:
    num_frames: int
    size: tuple[int, int]
    seconds_of_sound: float
    loudest: float


def probe(path: Path) -> Probe:
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        sound = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)
        rate = container.streams.audio[0].rate
    return Probe(len(frames), frames[0].shape[:2], sound.shape[1] / rate, float(np.abs(sound).max()))


def write_speech(path: Path, seconds: float, amplitude: float = 0.25) -> str:
    time = np.arange(round(seconds * 16000)) / 16000
    samples = amplitude * np.sin(2 * np.pi * 220 * time)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path.name


@pytest.fixture
def write_input(tmp_path: Path) -> Callable[..., Path]:
    def write(**changes: object) -> Path:
        Image.linear_gradient("L").resize((80, 60)).convert("RGB").save(tmp_path / "face.png")
        content = {
            "prompt": "Somebody talks.",
            "cond_video": "face.png",
            "cond_audio": {"person1": write_speech(tmp_path / "one.wav", 0.4)},
        }
        path = tmp_path / "input.json"
        path.write_text(json.dumps(content | changes))
        return path

    return write


def checkpoint(directory: Path, speakers: str = "single") -> list[str]:
    return [
        f"--ckpt_dir={directory / 'Wan2.1-I2V-14B-480P'}",
        f"--infinitetalk_dir={directory / 'InfiniteTalk' / speakers}",
        f"--wav2vec_dir={directory / 'chinese-wav2vec2-base'}",
    ]


def test_one_person_speaks_from_the_downloads(
    tiny_checkpoint: Path, write_input: Callable[..., Path], tmp_path: Path
) -> None:
    script = [sys.executable, str(ROOT / "InfiniteTalk" / "generate_infinitetalk.py")]
    arguments = ["--task", "infinitetalk-14B", "--mode", "streaming", "--input_json", str(write_input())]
    output = ["--save_file", str(tmp_path / "talk")]
    run = subprocess.run(
        [*script, *SMALL.split(), *checkpoint(tiny_checkpoint), *arguments, *output],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )

    video = probe(tmp_path / "talk.mp4")
    assert (video.num_frames, video.size) == (10, (64, 64))
    assert video.seconds_of_sound == pytest.approx(0.4, abs=1024 / 48000)
    assert "window 3 of 3" in run.stderr
    assert "10 frames, 0.40 s, seed 42" in run.stdout


def test_it_is_a_module_too() -> None:
    command = [sys.executable, "-m", "InfiniteTalk.generate_infinitetalk", "--help"]
    shown = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout

    assert "--num_persistent_param_in_dit" in shown


def test_two_people_speak_with_a_lora_over_float8(
    prepared_fp8: Path, write_input: Callable[..., Path], tmp_path: Path
) -> None:
    request = write_input(
        cond_audio={
            "person1": write_speech(tmp_path / "quiet.wav", 0.2, amplitude=0.1),
            "person2": write_speech(tmp_path / "loud.wav", 0.12, amplitude=0.8),
        },
        audio_type="add",
        bbox={"person1": [5, 5, 55, 35], "person2": [5, 45, 55, 75]},
    )
    loras = prepared_fp8 / "InfiniteTalk" / "lora"
    main(
        [
            *SMALL.split(),
            *checkpoint(prepared_fp8, "multi"),
            *("--mode=streaming", f"--input_json={request}", f"--save_file={tmp_path / 'talk.mp4'}"),
            *("--lora_dir", str(loras / f"{LIGHTX2V}.safetensors"), str(loras / f"{FUSIONX}.safetensors")),
            *("--lora_scale", "1.0", "0.5", "--num_persistent_param_in_dit=0"),
            *("--use_apg", "--use_teacache", "--teacache_thresh=0.3", "--color_correction_strength=0.5"),
        ]
    )

    video = probe(tmp_path / "talk.mp4")
    assert video.num_frames == 8
    assert video.loudest == pytest.approx(0.8, abs=0.1)


def test_the_same_seed_gives_the_same_video_and_a_lora_another(
    prepared_bf16: Path, write_input: Callable[..., Path], tmp_path: Path
) -> None:
    loras = prepared_bf16 / "InfiniteTalk" / "lora" / f"{LIGHTX2V}.safetensors"
    request = write_input()
    videos = []
    for extra in ([], [], ["--lora_dir", str(loras)], ["--lora_dir", str(loras), "--merge_lora"]):
        arguments = [f"--input_json={request}", f"--save_file={tmp_path / 'talk'}", *extra]
        main([*SMALL.split(), *checkpoint(prepared_bf16), *arguments])
        with av.open(str(tmp_path / "talk.mp4")) as container:
            videos.append(np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]))

    plain, again, branch, merged = (video.astype(int) for video in videos)
    assert (plain == again).all()
    assert np.abs(plain - branch).max() > 8
    assert np.abs(branch - merged).mean() < np.abs(branch - plain).mean() / 4


def test_what_is_left_of_the_speech_is_said(
    prepared_bf16: Path,
    write_input: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["--mode=clip", f"--input_json={write_input()}", f"--save_file={tmp_path / 'clip'}"]
    main([*SMALL.split(), *checkpoint(prepared_bf16), *arguments, "--quant=fp8"])

    assert "the speech takes 10 frames; --mode clip ends the video after 5" in capsys.readouterr().out
    assert probe(tmp_path / "clip.mp4").num_frames == 5


def test_what_is_not_said_is_as_in_the_published_code(
    write_input: Callable[..., Path], tmp_path: Path
) -> None:
    arguments = ["--task", "infinitetalk-14B", "--size", "infinitetalk-720", "--save_file", "test_output"]
    options = build_parser().parse_args(
        [*checkpoint(tmp_path), *arguments, "--input_json", str(write_input())]
    )
    order = read_order(options)

    assert order.settings == RenderSettings(40, 11.0, 5.0, 4.0, None, 42, 81, 9, 1.0)
    assert order.size == Size(832, 1088)
    assert (options.mode, options.max_frame_num) == ("clip", 1000)
    assert order.output == Path("test_output.mp4")
    with_apg = build_parser().parse_args(
        [*checkpoint(tmp_path), "--input_json", str(write_input()), "--use_apg", "--base_seed=-1"]
    )
    assert read_order(with_apg).settings.apg == AdaptiveProjectedGuidance(-0.75, 55.0)
    assert read_order(with_apg).settings.shift == 7.0
    assert read_order(with_apg).settings.seed != read_order(with_apg).settings.seed


def test_one_switch_reproduces_a_published_seed(write_input: Callable[..., Path], tmp_path: Path) -> None:
    write_video(tmp_path / "source.mp4", np.full((10, 64, 64, 3), 90, np.uint8))
    options = build_parser().parse_args(
        [
            *checkpoint(tmp_path),
            "--input_json",
            str(write_input(cond_video="source.mp4")),
            "--reference_compat",
        ]
    )
    order = read_order(options)
    assert order.settings.reference_compat
    assert isinstance(order.reference, VideoReference)
    assert order.reference.reference_compat


def test_a_mistake_is_told_in_a_sentence(
    prepared_bf16: Path, write_input: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"--input_json={write_input()}", f"--save_file={tmp_path / 'talk'}"]
    missing = checkpoint(prepared_bf16)[:2]
    with pytest.raises(SystemExit, match="2"):
        main([*SMALL.split(), *missing, f"--wav2vec_dir={tmp_path}", *arguments])

    assert f"{tmp_path}" in capsys.readouterr().err
    assert not (tmp_path / "talk.mp4").exists()


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("--quant int8", "invalid choice: 'int8'"),
        ("--quant_dir weights/fp8.safetensors", "published 8-bit files are not read"),
        ("--dit_path merged.safetensors", "give --ckpt_dir and --infinitetalk_dir"),
        ("--t5_cpu", "--t5_cpu: the text encoder computes where all do"),
        ("--scene_seg true", "not cut at its scenes"),
        ("--size 50x32", "multiples of 16, not 50x32"),
        ("--sample_steps 0", "at least one step"),
        ("--motion_frame 4", "1 more than a multiple of 4"),
        ("--lora_scale 1.0", "0 LoRA files but 1 scales"),
        ("--save_file nowhere/talk", "nowhere is no folder"),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_model_is_loaded(
    write_input: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    mistake: str,
    message: str,
) -> None:
    request = f"--input_json={write_input()}"
    with pytest.raises(SystemExit, match="2"):
        main([*checkpoint(tmp_path / "no weights"), request, *mistake.split()])

    assert message in capsys.readouterr().err


def test_the_boxes_of_an_input_file_go_down_the_rows_first(write_input: Callable[..., Path]) -> None:
    request = write_input(
        cond_audio={"person1": "one.wav", "person2": "None"},
        bbox={"person1": [1, 2, 30, 40], "person2": [1, 42, 30, 80]},
    )
    content = read_input(request)

    assert content.speakers == "multi"
    assert content.speech[1] is None
    assert content.boxes[0] == PixelBox(left=2, top=1, right=40, bottom=30)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cond_video": "nowhere.png"}, "nowhere.png is no file"),
        ({"audio_type": "sometimes"}, "sometimes"),
        ({"cond_audio": {}}, "person1"),
        ({"cond_audio": {"person1": "None", "person2": "None"}}, "nobody speaks"),
        ({"bbox": {"person1": [1, 2, 3, 4], "person2": [1, 2, 3, 4]}}, "1 people need as many boxes or none"),
        ({"bbox": {"person1": [1, 2, 3]}}, "the box of person1 has 3 numbers"),
        ({"bbox": {"person1": [1, 2, 3, "4"]}}, "the box of person1 must be a list of 4 numbers"),
        ({"bbox": {"person1": "1 2 3 4"}}, "the box of person1 must be a list of 4 numbers"),
        ({"bbox": {"person1": [30, 2, 10, 4]}}, "the box of person1 is empty"),
        ({"bbox": {"person2": [1, 2, 3, 4]}}, "bbox names person2, who do not speak"),
        ({"bbox": [[1, 2, 3, 4]]}, "bbox must be a JSON object, not \\[\\[1, 2, 3, 4\\]\\]"),
        ({"prompt": ["Somebody", "talks."]}, "prompt must be text, not"),
        ({"prompt": None}, "prompt must be text, not null"),
        ({"cond_video": 7}, "cond_video must be text, not 7"),
        ({"cond_audio": "one.wav"}, "cond_audio must be a JSON object"),
        ({"cond_audio": {"person1": None}}, "person1 must be text, not null"),
        ({"cond_audio": {"person1": "one.wav", "person3": "one.wav"}}, "cond_audio names person3; only"),
        ({"audio_type": ["add"]}, "audio_type must be one of para, add"),
    ],
)
def test_an_input_file_that_lacks_something_says_what(
    write_input: Callable[..., Path], changes: dict[str, object], message: str
) -> None:
    with pytest.raises(InputFileError, match=message):
        read_input(write_input(**changes))


@pytest.mark.parametrize("content", ['["a", "list"]', '"text"', "null", "17", ""])
def test_an_input_file_of_another_shape_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "input.json").write_text(content)

    with pytest.raises(InputFileError, match=r"input\.json (must be a JSON object|is no JSON)"):
        read_input(tmp_path / "input.json")


def test_a_byte_order_mark_before_an_input_file_is_skipped(write_input: Callable[..., Path]) -> None:
    path = write_input()
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())

    assert read_input(path).prompt == "Somebody talks."


def test_a_pointer_in_place_of_a_picture_says_how_to_get_it(
    write_input: Callable[..., Path], tmp_path: Path
) -> None:
    path = write_input()
    (tmp_path / "face.png").write_bytes(LFS_POINTER)

    with pytest.raises(InputFileError, match="git lfs pull"):
        read_input(path)


def test_boxes_belong_to_the_people_they_name(write_input: Callable[..., Path]) -> None:
    content = read_input(
        write_input(
            cond_audio={"person1": "one.wav", "person2": "None"},
            bbox={"person2": [1, 42, 30, 80], "person1": [1, 2, 30, 40]},
        )
    )

    assert [box.left for box in content.boxes] == [2, 42]


def test_an_output_that_is_a_folder_is_refused_before_any_model_is_loaded(
    write_input: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "videos").mkdir()
    with pytest.raises(SystemExit, match="2"):
        main(
            [
                *checkpoint(tmp_path / "no weights"),
                f"--input_json={write_input()}",
                f"--save_file={tmp_path / 'videos'}",
            ]
        )

    assert "videos is a folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda whole: whole[: len(whole) // 2], "is cut short"),
        (lambda whole: LFS_POINTER, "is a Git LFS pointer"),
    ],
    ids=["half a download", "pointer"],
)
@pytest.mark.parametrize("name", ["Wan2.1_VAE.pth", "model.safetensors"])
def test_weights_that_are_not_whole_are_named_before_any_model_is_loaded(
    tiny_checkpoint: Path,
    write_input: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: Callable[[bytes], bytes],
    message: str,
) -> None:
    weights = shutil.copytree(tiny_checkpoint, tmp_path / "weights")
    (file,) = weights.rglob(name)
    file.write_bytes(content(file.read_bytes()))
    arguments = [f"--input_json={write_input()}", f"--save_file={tmp_path / 'talk'}"]
    with pytest.raises(SystemExit, match="2"):
        main([*SMALL.split(), *checkpoint(weights), *arguments])

    said = capsys.readouterr().err
    assert f"{name} {message}" in said
    assert said.count("\n") == 1


def test_two_people_are_refused_with_the_layers_for_one(
    tiny_checkpoint: Path,
    write_input: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    request = write_input(cond_audio={"person1": "one.wav", "person2": "one.wav"})
    write_speech(tmp_path / "one.wav", 0.4)
    arguments = [f"--input_json={request}", f"--save_file={tmp_path / 'talk'}"]
    with pytest.raises(SystemExit, match="2"):
        main([*SMALL.split(), *checkpoint(tiny_checkpoint, "single"), *arguments])

    assert "single holds the audio layers for one person" in capsys.readouterr().err


def test_an_input_file_that_is_no_json_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "input.json").write_text("{'prompt': 'single quotes'}")

    with pytest.raises(InputFileError, match=r"input\.json is no JSON"):
        read_input(tmp_path / "input.json")
