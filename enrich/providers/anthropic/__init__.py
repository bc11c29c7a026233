"""The anthropic provider: Anthropic's Message Batches API through its official SDK.

It relies on these facts from Anthropic's guide to batch processing, its API reference, its notes on
API version 2026-10-21 and the source of its SDK (2.14): a batch has neither metadata nor an
idempotency key, and its requests come with the create, in one document; each request has a
`custom_id` of at most 64 of A-Z a-z 0-9 _ -; results appear when the whole batch has ended, in any
order; the list of batches is sorted by the newest first.
"""

from enrich.providers.anthropic.connection import USUAL_VERSION
from enrich.providers.anthropic.provider import ANTHROPIC_KEYS, AnthropicProvider

__all__ = ["ANTHROPIC_KEYS", "USUAL_VERSION", "AnthropicProvider"]
