"""The hub: weights from Hugging Face, by name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from enrich.errors import ProviderError, Unavailable
from enrich.providers.local.weights import hash_file

if TYPE_CHECKING:
    from collections.abc import Iterable

INSTALL_HUB = "pip install 'enrich[hf]'"
HUB_EXAMPLE = "for example Qwen/Qwen2.5-1.5B-Instruct-GGUF:Q4_K_M"


def find_weights(spec: str) -> Path:
    """Returns the GGUF that `org/repo:QUANTISATION` names on the Hugging Face hub, after
    downloading it if necessary. Raises ProviderError or Unavailable."""
    # A file that was downloaded before is used without asking the hub, so that an llm stays the
    # same until its files are removed from the cache: the weights are part of every fingerprint.
    repo, _, quantisation = spec.partition(":")
    if repo.count("/") != 1 or not quantisation:
        raise ProviderError(
            f"`hf: {spec}` is not of the form org/repo:QUANTISATION", hint=HUB_EXAMPLE
        )
    try:
        from huggingface_hub.errors import (  # type: ignore[attr-defined]
            HFValidationError,
            HTTPError,
            LocalEntryNotFoundError,
            OfflineModeIsEnabled,
            RepositoryNotFoundError,
        )
    except ImportError as error:
        raise ProviderError("`hf:` needs huggingface_hub", hint=INSTALL_HUB) from error
    try:
        return _find_cached(repo, quantisation) or _download(repo, quantisation)
    except HFValidationError as error:
        raise ProviderError(
            f"`hf: {spec}` is not a valid name of a repository", hint=HUB_EXAMPLE
        ) from error
    except RepositoryNotFoundError as error:
        raise ProviderError(
            f"the hub has no repository {repo}, or you have no access to it",
            hint="check its name; a repository that is private or gated needs HF_TOKEN",
        ) from error
    except (HTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        raise Unavailable(
            f"the hub cannot be reached for {repo}: {error}",
            hint="try again, or set `path:` to a file on this machine",
        ) from error


def _find_cached(repo: str, quantisation: str) -> Path | None:
    """Returns the file if it was downloaded before, or None."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(repo, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    names = [str(path.relative_to(folder)) for path in folder.rglob("*.gguf")]
    found = _match_quantisation(names, quantisation)
    return folder / found[0] if len(found) == 1 else None


def _download(repo: str, quantisation: str) -> Path:
    """Downloads the file, and checks it against the hash that the hub lists. Raises ProviderError
    or Unavailable."""
    from huggingface_hub import HfApi, hf_hub_download

    files = HfApi().model_info(repo, files_metadata=True).siblings or []
    sums = {file.rfilename: file.lfs.sha256 if file.lfs else None for file in files}
    found = _match_quantisation(sums, quantisation)
    if len(found) != 1:
        there = [name for name in sums if name.endswith(".gguf")]
        trouble = "several files" if found else "no GGUF"
        raise ProviderError(
            f"{repo} has {trouble} of quantisation {quantisation!r}",
            hint=f"it has: {', '.join(found or there) or 'no GGUF files at all'}",
        )
    path = Path(hf_hub_download(repo, found[0]))
    if (expected := sums[found[0]]) and hash_file(path) != expected:
        # The cache keeps files under their hashes, with links to them: both go, or the next try
        # would find the damaged file again.
        path.resolve().unlink()
        path.unlink(missing_ok=True)
        raise Unavailable(f"{repo}: {found[0]} arrived damaged", hint="run the command again")
    return path


def _match_quantisation(names: Iterable[str], quantisation: str) -> list[str]:
    """Returns the llms among these files whose name contains the quantisation, preferably as a
    separate word.
    >>> _match_quantisation(["m-Q4_K_M.gguf", "m-Q4_K_S.gguf", "m-bf16.gguf", "m-f16.gguf"], "F16")
    ['m-f16.gguf']
    >>> _match_quantisation(["m.Q4_K_M.gguf", "mmproj-Q4_K_M.gguf", "README.md"], "q4_k_m")
    ['m.Q4_K_M.gguf']
    """
    word = re.escape(quantisation.lower())
    # An mmproj file is the projector of an llm that sees, not an llm.
    llms = sorted(name for name in names if name.endswith(".gguf") and "mmproj" not in name)
    near = [name for name in llms if quantisation.lower() in name.lower()]
    own = [name for name in near if re.search(rf"(?<![a-z0-9]){word}(?![a-z0-9_])", name.lower())]
    return own or near
