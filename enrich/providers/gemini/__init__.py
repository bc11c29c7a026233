"""The gemini provider: the batches of Google's Gemini API, and its chat for answers now.

Batches and chat go through the part of the API that speaks OpenAI's, with OpenAI's SDK; files have
no such part and go by Google's own REST calls, over the HTTP library that this SDK stands on. That
is smaller than Google's SDK, whose batches want every request and every answer in another form, and
which brings twenty packages for the four calls that files need.

Facts, from ai.google.dev (OpenAI compatibility, Batch API, Files API) and the source of
google-genai 3.6: lines of requests and of results are OpenAI's; a file has a display name, is
uploaded in two calls, and is deleted after 48 hours; a batch keeps no metadata, so that it is found
by its input file; answers come in any order (python-genai#1909), so that nothing but a custom_id
says what they belong to.
"""

from enrich.providers.gemini.provider import GEMINI_KEYS, GeminiProvider

__all__ = ["GEMINI_KEYS", "GeminiProvider"]
