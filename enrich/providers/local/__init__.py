"""The local provider: llama.cpp answers batches on this machine; nothing leaves it."""

from enrich.providers.local.provider import LocalProvider
from enrich.providers.local.settings import CHAT_ENDPOINT, EMBEDDING_ENDPOINT, LOCAL_KEYS

__all__ = ["CHAT_ENDPOINT", "EMBEDDING_ENDPOINT", "LOCAL_KEYS", "LocalProvider"]
