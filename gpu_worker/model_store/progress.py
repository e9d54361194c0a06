"""How far a download is: a bar on a terminal, plain lines with rate and remaining time elsewhere."""

import sys
from typing import Any

from tqdm import tqdm

LINE_SECONDS = 10.0


class Progress(tqdm):
    """tqdm's bar; where nobody sees it move, a line every ten seconds and one at the end."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._on_terminal = sys.stdout.isatty()
        interval = 0.1 if self._on_terminal else LINE_SECONDS
        super().__init__(
            *args,
            **kwargs,
            file=sys.stdout,
            mininterval=interval,
            miniters=1,
            dynamic_ncols=self._on_terminal,
        )

    def display(self, msg: str | None = None, pos: int | None = None) -> Any:
        if self._on_terminal:
            return super().display(msg, pos)
        print(self if msg is None else msg, flush=True)
        return True
