"""The openai provider: OpenAI's Batch API through its official SDK, and whoever speaks the same.

Facts it rests on, from OpenAI's Batch API guide, its OpenAPI file and the SDK's source: a create
has no idempotency key, so one whose answer was lost may have taken effect; the list takes no filter
but shows each batch's metadata; result file ids are null, or empty, where there is no file.
"""

from enrich.providers.openai.account import OPENAI_URL, Account
from enrich.providers.openai.provider import OpenAIProvider
from enrich.providers.openai.settings import OPENAI_KEYS

__all__ = ["OPENAI_KEYS", "OPENAI_URL", "Account", "OpenAIProvider"]
