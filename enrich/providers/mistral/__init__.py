"""The mistral provider: Mistral's Batch API, and its chat for answers now.

Files, llms and chat are those of OpenAI's API, so they go the same way; batches, which Mistral
calls jobs, go through its own SDK. Facts, from the types and docstrings of mistralai 3.7 and from
docs.mistral.ai (Batch Inference, API reference): a job has one llm, which it names itself; lines
have a custom_id and a body; two lines with the same custom_id are accepted; creating a job has no
idempotency key; a job shows the metadata that it was created with, and its list is sorted by the
newest first; lines of results have the form of OpenAI's.
"""

from enrich.providers.mistral.provider import MISTRAL_KEYS, MistralProvider

__all__ = ["MISTRAL_KEYS", "MistralProvider"]
