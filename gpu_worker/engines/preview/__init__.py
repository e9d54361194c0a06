"""The preview engine: a talking video on a CPU, near real time, marked PREVIEW.

face      find faces and their landmarks          speech   how far the mouth opens, from the sound
casting   which face is which speaker             acting   blinks and sway, from the seed
shapes    how a face moves when it speaks         puppet   a face drawn with an expression
sway      how a head turns                        mark     the word PREVIEW, beside the faces
engine    all of it as a stream of windows
"""

from gpu_worker.engines.preview.engine import PreviewEngine
from gpu_worker.engines.preview.face import Face, FaceFinder

__all__ = ["Face", "FaceFinder", "PreviewEngine"]
