"""Word vectors: the embedder that comes as a package, which is used as files and never imported."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enrich.errors import ProviderError
from enrich.providers.local.settings import VectorFiles

if TYPE_CHECKING:
    from collections.abc import Mapping

PACKAGE = "wordllama"
EMBEDDER_LLM = "wordllama-256"
VECTORS = "weights/l2_supercat_256.safetensors"
TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"
READERS = ("numpy", "safetensors", "tokenizers")
"""What reads these files: dependencies of the package."""
INSTALL_EMBEDDER = "pip install 'enrich[embed]'"
EMBEDDER_NOTICE = (
    "wordllama-256 averages static word vectors: fine for near-duplicates and rough labels, weak "
    "for search; for better embeddings, name a GGUF such as nomic-embed-text or bge by `path:` or "
    "`hf:`."
)


@dataclass(frozen=True)
class WordVectors:
    """Static word vectors, whose mean is the vector of a text."""

    # Importing the package takes half a second, sets up logging for the whole process, and loads
    # libraries that enrich has no use for. Its own `WordLlama.load` looks for the tokenizer in a
    # folder that does not exist, and then asks the network for it.

    llm = EMBEDDER_LLM
    notice = EMBEDDER_NOTICE

    @cached_property
    def files(self) -> VectorFiles:
        """The files. Raises ProviderError if they are not installed."""
        spec = find_spec(PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise ProviderError("the packaged embedder is not installed", hint=INSTALL_EMBEDDER)
        folder = Path(next(iter(spec.submodule_search_locations)))
        for name in (VECTORS, TOKENIZER):
            if not (folder / name).is_file():
                what = f"the package {PACKAGE} has no file {name}"
                raise ProviderError(what, hint=INSTALL_EMBEDDER)
        return VectorFiles(vectors=str(folder / VECTORS), tokenizer=str(folder / TOKENIZER))

    @cached_property
    def identity(self) -> str:
        """A digest of both files, in full."""
        total = hashlib.sha256()
        for path in (self.files.vectors, self.files.tokenizer):
            with Path(path).open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
        return total.hexdigest()[:16]

    def check(self, name: str, *, images: bool) -> None:
        """Raises ProviderError unless the files, and what reads them, are there and whole."""
        if images:
            raise ProviderError(
                f"{name} embeds texts, not images", hint="leave the image column out of the prompt"
            )
        for path in (self.files.vectors, self.files.tokenizer):
            if not _is_whole(Path(path)):
                raise ProviderError(f"{path} is damaged", hint=INSTALL_EMBEDDER)
        for reader in READERS:
            if find_spec(reader) is None:
                what = f"the packaged embedder needs {reader}"
                raise ProviderError(what, hint=INSTALL_EMBEDDER)

    def make_settings(self) -> Mapping[str, Any]:
        """Returns what a worker needs to open it."""
        return asdict(self.files)


def _is_whole(path: Path) -> bool:
    """Whether a file ends where it says: JSON, or safetensors, which is JSON before numbers."""
    try:
        with path.open("rb") as file:
            if path.suffix == ".json":
                return bool(json.load(file))
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, 1 << 20)))
            reach = max(each["data_offsets"][1] for each in header.values() if "dtype" in each)
            return path.stat().st_size == 8 + length + int(reach)
    except (OSError, ValueError, KeyError, TypeError):
        return False
