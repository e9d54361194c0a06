"""The InfiniteTalk engine on a GPU's stand-in: every tensor is where it computes, whatever the placement."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers.hooks.group_offloading import GroupOffloadingHook

from gpu_worker.contract.presets import PresetName
from gpu_worker.contract.spec import ReferenceKind, SpeakerBox
from gpu_worker.engines.base import EngineJob, RenderStoppedError, Step
from gpu_worker.engines.infinitetalk import InfiniteTalkEngine
from gpu_worker.engines.infinitetalk.models import LoadedModels, PreparedModels
from gpu_worker.engines.infinitetalk.placement import Placement
from InfiniteTalk.original_checkpoint import Speakers
from InfiniteTalk.precision import Precision
from tests.gpu_worker.tiny_models import SIZE, engine_job, prepare_tiny_models
from tests.media_samples import tone, write_sound, write_video
from tests.stand_in_gpu import StandInGpu, stand_in_gpu
