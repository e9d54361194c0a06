"""Prepare and check the models of the GPU worker."""

import argparse
import logging
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import get_args

from gpu_worker.model_store import manifest, verify
from gpu_worker.model_store.errors import LicenceError, ModelStoreError, NotReadyError
from gpu_worker.model_store.location import storage_path
from gpu_worker.model_store.lock import StorageLock
from gpu_worker.model_store.sources import FLASHTALK, LORAS, Models, Precision, Selection, Speakers

log = logging.getLogger("gpu_worker.model_store")


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    try:
        _COMMANDS[options.command](options)
    except ModelStoreError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:  # The volume: read-only, gone, another's.
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gpu_worker.model_store", description=__doc__)
    parser.add_argument("--path", type=Path, default=storage_path(), help="default: MODEL_STORAGE_PATH")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("plan", "print what convert would do"),
        ("download", "only download, and keep it"),
        ("convert", "download what is missing, convert it, remove it: the whole way to a store"),
        ("repair", "read every byte, and make again what is damaged"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--precision", choices=get_args(Precision), default="fp8")
        command.add_argument("--models", choices=get_args(Models), default="standard")
        command.add_argument("--accept-licence", action="store_true", help="of the distilled weights")
        command.add_argument("--speakers", type=_one_or_more(get_args(Speakers)), default=("single", "multi"))
        command.add_argument("--lora", type=_one_or_more(tuple(LORAS)), default=("lightx2v",))
        if name == "convert":
            command.add_argument("--kernels", action="store_true", help="then do what `kernels` does")
    kernels = commands.add_parser("kernels", help="download the attention kernels, pinned by a lock file")
    kernels.add_argument("--lock", type=Path, help="keep to this lock file, as another volume's run wrote it")
    commands.add_parser("speech", help="prepare the speech engine Kokoro-82M, in a folder of its own")
    check = commands.add_parser("verify", help="check the store, without the network")
    check.add_argument("--full", action="store_true", help="read every byte")
    return parser


def _one_or_more(known: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    def parse(text: str) -> tuple[str, ...]:
        names = tuple(name for name in text.split(",") if name)
        if unknown := set(names) - set(known):
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose from {', '.join(known)}")
        return names

    return parse


def _selection(options: argparse.Namespace) -> Selection:
    selection = Selection.of(options.models, options.precision, options.speakers, options.lora)
    if selection.turbo and options.command != "plan" and not options.accept_licence:
        raise LicenceError(
            f"the licence of these weights is on their card, https://huggingface.co/{FLASHTALK.repo}: "
            "read it, then run this again with --accept-licence"
        )
    return selection


def _plan(options: argparse.Namespace) -> None:
    from gpu_worker.model_store import convert
    from gpu_worker.model_store.hub import Hub

    plan = convert.plan_store(_selection(options), options.path, Hub())
    for file in plan.files:
        print(f"{file.size / 1e9:8.3f} GB  {file.source.repo}@{file.revision[:12]}  {file.path}")
    print(f"to download: {plan.download_bytes / 1e9:.1f} GB")
    print(f"prepared: at most {plan.prepared_bytes / 1e9:.1f} GB")
    print(f"at the peak: {plan.peak_bytes() / 1e9:.1f} GB of {options.path}")


def _download(options: argparse.Namespace) -> None:
    from gpu_worker.model_store import convert
    from gpu_worker.model_store.hub import Hub

    options.path.mkdir(parents=True, exist_ok=True)
    with StorageLock(options.path):
        hub = Hub()
        convert.download_all(convert.plan_store(_selection(options), options.path, hub), options.path, hub)


def _convert(options: argparse.Namespace) -> None:
    options.path.mkdir(parents=True, exist_ok=True)
    with StorageLock(options.path):
        _prepare(options.path, _selection(options))
        if options.kernels:
            _prepare_kernels(options.path, None)


def _prepare(folder: Path, selection: Selection) -> None:
    from gpu_worker.model_store import convert
    from gpu_worker.model_store.hub import Hub

    if convert.covers(folder, selection):
        convert.clear_downloads(folder)
        log.info("%s is ready", folder)
        return
    hub = Hub()
    whole = convert.with_what_is_there(selection, folder)
    convert.prepare(convert.plan_store(whole, folder, hub), folder, hub)


def _kernels(options: argparse.Namespace) -> None:
    with StorageLock(options.path):
        _prepare_kernels(options.path, options.lock)


def _prepare_kernels(folder: Path, lock_file: Path | None) -> None:
    from gpu_worker.model_store import kernels
    from gpu_worker.model_store.hub import Hub

    given = kernels.read_lock(lock_file) if lock_file else None
    if lock_file and given is None:
        raise ModelStoreError(f"{lock_file} does not exist")
    for repo, kernel in kernels.prepare_kernels(folder, Hub(), given).items():
        print(f"{repo}@{kernel.revision} {kernel.variant}")
        for path, digest in kernel.files.items():
            print(f"  {digest}  {path}")
    print(f"review {folder / kernels.LOCK_PATH} and keep it: kernels --lock keeps other volumes to it")


def _speech(options: argparse.Namespace) -> None:
    from gpu_worker.model_store.hub import Hub
    from gpu_worker.model_store.speech import prepare_speech

    options.path.mkdir(parents=True, exist_ok=True)
    with StorageLock(options.path):
        prepare_speech(options.path, Hub())
    log.info("%s is ready", options.path)


def _verify(options: argparse.Namespace) -> None:
    began = time.monotonic()
    found = verify.require_ready(options.path, full=options.full)
    verify.require_gpu_memory()
    seconds = time.monotonic() - began
    log.info("%s is whole: %.1f GB, checked in %.2f s", options.path, found.total_bytes / 1e9, seconds)


def _repair(options: argparse.Namespace) -> None:
    selection = _selection(options)
    with StorageLock(options.path):
        try:
            found = manifest.read(options.path)
        except NotReadyError:
            log.info("the store was never finished, going on with it")
        else:
            selection = Selection(found.precision, found.speakers, found.loras, found.turbo)  # type: ignore[arg-type]
            damaged = verify.find_damage(options.path, found, full=True)
            if damaged:
                _forget(options.path, damaged)
        _prepare(options.path, selection)


def _forget(folder: Path, damaged: Iterable[str]) -> None:
    from gpu_worker.model_store import convert

    convert.forget(folder, damaged)


_COMMANDS = {
    "plan": _plan,
    "download": _download,
    "convert": _convert,
    "verify": _verify,
    "repair": _repair,
    "kernels": _kernels,
    "speech": _speech,
}

if __name__ == "__main__":
    sys.exit(main())
