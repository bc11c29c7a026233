"""Errors: what an error of the SDK means, as one of enrich's errors with one sentence.

Only this module tells apart a refusal, a provider that cannot be reached, and an answer that was
lost. It raises inside `except`, so that `__context__` is the error of the SDK.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from enrich.errors import DiskError, ProviderError, Unavailable, Unclear, Unreachable
from enrich.providers.openai.words import extract_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    import openai

    from enrich.providers.openai.account import Account

LOOK_FIRST = "enrich looks for the batch before it asks again"
"""The hint if a batch may have been created."""
NO_MONEY = ("insufficient_quota", "billing_hard_limit_reached")
"""Codes of a 429 after which waiting does not help."""


def is_out_of_money(problem: openai.APIStatusError) -> bool:
    """Whether a 429 says that the account is out of money."""
    return problem.code in NO_MONEY


@dataclass(frozen=True, kw_only=True)
class Translator:
    """Turns errors of the SDK into enrich's; `name` is the provider's name in messages."""

    name: str
    account: Account

    @contextmanager
    def translate_errors(self, *, creating: bool = False) -> Iterator[None]:
        """Translates errors of the SDK that are raised in the block. While `creating`, a lost
        answer is Unclear."""
        import httpx2
        import openai

        from enrich.providers.bounds import Late, Unreadable

        try:
            yield
        except (Unreadable, Late, RecursionError) as problem:
            self._raise_unread(problem, creating=creating)
        except openai.APIStatusError as problem:
            self.raise_refused(problem, creating=creating)
        except openai.APIConnectionError as problem:
            self._raise_unreached(problem, creating=creating)
        # The SDK trusts the shape of an answer, so these are what an unexpected one raises in it.
        except (httpx2.HTTPError, AttributeError, KeyError, TypeError, ValueError) as problem:
            if isinstance(problem, UnicodeEncodeError):
                what = f"{self.name}: the API key or a header has a character that HTTP cannot send"
                raise ProviderError(what, hint="copy the key again") from None
            self._raise_unread(problem, creating=creating)
        except openai.OpenAIError as problem:
            said = self.account.redact(str(problem))
            raise ProviderError(said, hint=f"see providers: {self.name}: in project.yml") from None
        except OSError as problem:
            what = f"{problem.filename or 'a file'}: {problem.strerror}"
            raise DiskError(what, hint="free disk space, or check the permissions") from problem

    def raise_refused(self, problem: openai.APIStatusError, *, creating: bool) -> NoReturn:
        """Raises what an HTTP status means, in the provider's own words without secrets."""
        status = problem.status_code
        what = f"{self.name} answered {status}: {self.account.redact(extract_words(problem))}"
        # A server may fail after it has created the batch, or behind a proxy that gave up on it.
        if creating and (status >= 500 or status == 408):
            raise Unclear(what, hint=LOOK_FIRST) from None
        is_busy = status == 429 and not is_out_of_money(problem)
        if status >= 500 or status in (408, 409) or is_busy:
            busy = Unavailable(what, hint="nothing is lost; try again later")
            busy.answered = True
            raise busy from None
        moved = problem.response.headers.get("location", "") if 300 <= status < 400 else ""
        if moved:
            what = f"{self.name} answered {status}: it has moved to another address"
            hint = f"if that is correct, set base_url to it: {self.account.redact(moved)[:200]}"
            raise ProviderError(what, hint=hint) from None
        variable = self.account.key_variable and f"{self.account.key_variable}, or "
        hints = {
            401: f"check the API key: {variable}api_key: in project.yml",
            403: "the key may not do this: check its project and its permissions",
            404: f"check base_url: {self.account.url}; does it have a Batch API, and this llm?",
            429: "the account's quota or budget is used up: see the provider's billing page",
        }
        raise ProviderError(what, hint=hints.get(status, "")) from None

    def _raise_unread(self, problem: Exception, *, creating: bool) -> NoReturn:
        """Raises the error for an answer that cannot be used, or did not come in time."""
        from enrich.providers.bounds import Late, Unreadable

        if isinstance(problem, Late):
            what = f"{self.name} did not answer within {self.account.timeout:g} seconds"
        else:
            words = type(problem).__name__
            if isinstance(problem, Unreadable):
                words = str(problem)
            elif isinstance(problem, RecursionError):
                words = "its JSON is nested too deeply"
            what = f"{self.name} returned an answer that cannot be read: {words}"
        if creating:
            raise Unclear(what, hint=LOOK_FIRST) from None
        hint = f"check base_url: {self.account.url}; does a Batch API answer there?"
        raise Unavailable(what, hint=hint) from None

    def _raise_unreached(self, problem: openai.APIConnectionError, *, creating: bool) -> NoReturn:
        """Raises the error for a connection that failed before or after the request was sent."""
        import httpx2

        from enrich.providers.bounds import Late, Unreadable

        if isinstance(problem.__cause__, (Unreadable, Late)):
            self._raise_unread(problem.__cause__, creating=creating)
        # Without a connection no request was sent, so nothing can have been created.
        never_sent = isinstance(problem.__cause__, (httpx2.ConnectError, httpx2.ConnectTimeout))
        why = self.account.redact(str(problem.__cause__ or problem))
        what = f"{self.name} cannot be reached at {self.account.url}: {why}"
        if creating and not never_sent:
            raise Unclear(what, hint=LOOK_FIRST) from None
        kind = Unreachable if never_sent else Unavailable
        raise kind(what, hint="check the connection and base_url") from None
