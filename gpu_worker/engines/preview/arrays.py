"""Names for the arrays that the parts of the engine hand each other."""

import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
"""RGB [height, width, 3]."""

Floats = npt.NDArray[np.floating]
Indices = npt.NDArray[np.integer]


def unit(vector: Floats) -> Floats:
    return vector / np.linalg.norm(vector)
