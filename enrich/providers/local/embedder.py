"""The embedder: word vectors, which are loaded in a worker's own process."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from enrich.providers.executor.engine import EngineFailed, ThreadedEngine
from enrich.providers.local.embedding import Embedded, answer_embedding
from enrich.providers.local.rejection import RejectedRequest
from enrich.providers.local.settings import VectorFiles

if TYPE_CHECKING:
    from enrich.providers.executor.folder import Folder

TRAINED_SIZES = (64, 128, 256)
"""To how many numbers the vectors may be cut: they were trained so that the first ones say most."""


def open_embedder(folder: Folder) -> list[ThreadedEngine]:
    """The engine of a batch. Raises EngineFailed."""
    job = folder.job
    try:
        embedder = WordEmbedder(VectorFiles(**job.settings))
    except Exception as error:  # the tokenizers package raises nothing more special
        raise EngineFailed(f"the packaged embedder does not load: {error}") from error
    return [ThreadedEngine(answer=partial(answer_embedding, embedder, job.llm))]


class WordEmbedder:
    """Makes the mean of its word vectors the vector of a text."""

    dimensions = TRAINED_SIZES

    def __init__(self, files: VectorFiles) -> None:
        """Reads the files; raises whatever their readers raise."""
        import numpy
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        (vectors,) = load_file(files.vectors).values()
        self._vectors = vectors.astype(numpy.float32)
        self._tokenizer = Tokenizer.from_file(files.tokenizer)
        self._unknown = self._tokenizer.token_to_id("<unk>")

    def embed(self, text: str) -> Embedded:
        """Returns the mean of the vectors of the tokens. Raises RejectedRequest if none is
        known."""
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        known = [each for each in ids if each != self._unknown and each < len(self._vectors)]
        if not known:
            raise RejectedRequest("the text has no word that the embedder knows")
        return Embedded(self._vectors[known].mean(axis=0).tolist(), len(ids))
