"""The packaged embedder, for tests that need its vectors."""

from __future__ import annotations

import pytest

from enrich.errors import ProviderError
from enrich.providers.local.word_vectors import WordVectors


def has_word_vectors() -> bool:
    """Whether the extra `embed` is installed, which has no wheels for some systems."""
    try:
        WordVectors().check("local", images=False)
    except ProviderError:
        return False
    return True


packaged = pytest.mark.skipif(
    not has_word_vectors(), reason="the packaged embedder is not installed"
)
