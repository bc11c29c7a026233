"""The openai provider: OpenAI's Batch API through its official SDK, and servers that speak it too.

It relies on these facts from OpenAI's Batch API guide, its OpenAPI file and the source of the SDK:
creating a batch has no idempotency key, so a create whose answer was lost may have taken effect;
the list of batches has no filter, but shows the metadata of each; the id of a result file is null
or empty if there is no such file.
"""

from enrich.providers.openai.account import OPENAI_URL, Account
from enrich.providers.openai.provider import OpenAIProvider
from enrich.providers.openai.settings import OPENAI_KEYS, SERVER_KEYS

__all__ = ["OPENAI_KEYS", "OPENAI_URL", "SERVER_KEYS", "Account", "OpenAIProvider"]
