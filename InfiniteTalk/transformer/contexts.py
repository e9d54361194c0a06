"""What the blocks make of text, picture and speech, computed once and used by many forwards."""

from collections.abc import Callable

from torch import Tensor

from InfiniteTalk.transformer.speakers import SpeakerClasses

KeysValues = tuple[Tensor, Tensor]


class BlockContext:
    """One kind of context as one block sees it: the tokens and, if kept, the keys and values made of them."""

    def __init__(self, tokens: Tensor, keep: bool) -> None:
        self.tokens = tokens
        self.keep = keep
        self.kept: KeysValues | None = None

    def keys_values(self, project: Callable[[Tensor], KeysValues]) -> KeysValues:
        """Project the tokens, or return what an earlier call kept.

        Both are laid out alike in memory whatever they come from: compiled code depends on it.
        """
        if self.kept is not None:
            return self.kept
        key, value = project(self.tokens)
        keys_values = key.contiguous(), value.contiguous()
        if self.keep:
            self.kept = keys_values
        return keys_values


class ProjectedContext:
    """One kind of context (text, image or audio) for all blocks; passes that have it in common share it.

    Attributes:
        blocks: The context as each block sees it; empty until the first forward.
        speakers: Of the audio of two speakers: where they are, looked up once because the GPU is waited for.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget the context, because it changes."""
        self.blocks: list[BlockContext] = []
        self.speakers: SpeakerClasses | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the tokens and of the keys and values kept so far."""
        tokens = {id(block.tokens): block.tokens for block in self.blocks}
        kept = [tensor for block in self.blocks for tensor in block.kept or ()]
        return sum(tensor.nbytes for tensor in [*tokens.values(), *kept])


class InfiniteTalkContextCache:
    """Text, image and audio as the blocks use them, so that only the first forward has to project them.

    Hand the same cache to all forwards of one kind of pass. Passes that share a context share the part:
    `InfiniteTalkContextCache(text=cond.text, image=cond.image)` is the cache of a pass with `cond`'s text and
    image and with an audio of its own. Nothing is compared: whoever changes a context clears its part.
    """

    def __init__(
        self,
        text: ProjectedContext | None = None,
        image: ProjectedContext | None = None,
        audio: ProjectedContext | None = None,
    ) -> None:
        self.text = text or ProjectedContext()
        self.image = image or ProjectedContext()
        self.audio = audio or ProjectedContext()

    def clear_audio(self) -> None:
        """Forget the audio, because another window begins."""
        self.audio.clear()

    @property
    def nbytes(self) -> int:
        """Bytes held, shared parts included."""
        return self.text.nbytes + self.image.nbytes + self.audio.nbytes
