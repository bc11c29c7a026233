"""The openai provider: OpenAI's Batch API through its official SDK, and whoever speaks the same.

Facts it rests on, from OpenAI's Batch API guide, its OpenAPI file and the SDK's source: a create
has no idempotency key, so one whose answer was lost may have taken effect; the list takes no filter
but shows each batch's metadata; result file ids are null, or empty, where there is no file.
"""

from __future__ import annotations

import json
import os
import re
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from threading import Lock
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from urllib.parse import urlsplit, urlunsplit

from enrich.errors import DiskError, ProviderError, Unavailable, Unclear
from enrich.manifest.settings import MOST, VARIABLE
from enrich.pricing.price import DISCOUNT, Price, listed
from enrich.providers import TERMINAL, Limits, Remote
from enrich.providers.secrets import Secrets, is_sendable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    import openai

    from enrich.manifest.settings import Settings
    from enrich.providers.opening import Opening

T = TypeVar("T")

KEYS = (
    "llm",
    "api_key",
    "base_url",
    "organization",
    "project",
    "headers",
    "azure_endpoint",
    "api_version",
    "timeout",
    "poll_seconds",
    "lost_after",
    "prices",
    "batch_discount",
)
OPENAI = "https://api.openai.com/v1"
FIRST_POLL = 2.0
PENDING = frozenset({"pending", "uploading", "processing", "queued", "running", "notrunning"})
"""The words for a file that is not ready for a batch yet: Azure's, and of servers like it."""
NOT_READY = re.compile(
    r"not (yet )?(ready|processed|available)|still (being )?process|pending", re.I
)
PROBE = 10.0
"""Seconds to wait for a server that is only asked whether it is there."""
CHUNK = 1 << 20
SIDE_BY_SIDE = 8
"""How many requests are asked at once without the Batch API."""
PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each further try of a call that was turned away, unless the provider says."""
LONGEST_PAUSE = 20.0
SPOKEN = (
    "message",
    "error",
    "detail",
    "msg",
    "errors",
    "error_description",
    "description",
    "title",
)
"""Where servers put their words: OpenAI, FastAPI, Google, OAuth, problem details (RFC 9457)."""
STYLE = re.compile(r"<(style|script)\b.*?</\1>", re.I | re.S)
MARKUP = re.compile(r"</?[A-Za-z!][^>]*>")
DIGITS = re.compile(r"\d+")
SECRET = re.compile(r"auth|key|token|secret|cookie|pass", re.I)
"""Headers that carry a secret, by their names."""
SURE = 8
"""So many letters are no word that stands in an answer by chance."""
LONGEST_PAGE = 20_000
"""Letters of an error page that are looked at."""
LONGEST_SENTENCE = 300
LONGEST_CODE = 64
LOOKED_AT = 10
DEEPEST = 5
"""How deep a server's words may stand in the body of an error."""
MOST_PAGES = 1_000
LISTING = 10
"""How many timeouts a whole list may take."""
LOOK = "enrich looks for the batch before it asks again"


@dataclass(frozen=True, kw_only=True)
class Account:
    """Where to connect and as whom; `timeout` is in seconds. `named` are environment variables that
    its settings name, with their values. Never written anywhere."""

    api_key: str = field(repr=False)
    base_url: str = ""
    organization: str = ""
    project: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    azure_endpoint: str = ""
    api_version: str = ""
    timeout: float = 600.0
    named: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def url(self) -> str:
        """Where requests go, without a name or password that the address may hold. The value of a
        variable in its path is known by its hash: it may be a secret."""
        parts = urlsplit(self.azure_endpoint or self.base_url or OPENAI)
        host = parts.netloc.rpartition("@")[2]
        path = parts.path.rstrip("/")
        for name, value in self.named.items():
            digest = sha256(value.encode()).hexdigest()[:8]
            path = path.replace(value, f"${{{name}}}-{digest}")
        return urlunsplit((parts.scheme, host, path, "", ""))

    @cached_property
    def secrets(self) -> Secrets:
        """All that is configured and may be one: what a server's words are shown without."""
        return Secrets.of((self.api_key, *self.headers.values(), *self.named.values()))

    @cached_property
    def surely(self) -> Secrets:
        """What is one for sure, and no word that an answer could hold by chance."""
        headers = (value for name, value in self.headers.items() if SECRET.search(name))
        found = (self.api_key, *headers, *self.named.values())
        return Secrets.of(value for value in found if len(value) >= SURE)

    def redacted(self, text: str) -> str:
        """`text` without any secret of this account."""
        return self.secrets.redacted(text)


class _Refusal(ProviderError):
    """A request of a preview was refused; `response` is the line that says so."""

    def __init__(self, message: str, response: dict[str, Any]) -> None:
        super().__init__(message, hint="change the prompt, its params or the llm: nothing was paid")
        self.response = response


@dataclass(frozen=True, kw_only=True)
class OpenAIProvider:
    """A provider that speaks OpenAI's Files and Batches API."""

    name: str
    llm: str
    account: Account
    limits: Limits
    poll_seconds: float = 60.0
    lost_after: float = 60.0
    prices: Mapping[str, Price | str] = field(default_factory=dict)
    discount: float | None = None
    notice: str = ""

    @classmethod
    def from_settings(cls, opening: Opening) -> OpenAIProvider:
        """The provider that `providers:` describes. Raises ProjectError for what is not right."""
        settings, environment = opening.settings, opening.environment
        opening.known(*KEYS)
        api_key = settings.text("api_key", environment.get("OPENAI_API_KEY", "")).strip()
        headers = {key: str(value).strip() for key, value in settings.mapping("headers").items()}
        for key, values in (("api_key", [api_key]), ("headers", [*headers, *headers.values()])):
            if not all(map(is_sendable, values)):
                hint = "copy it anew, without line ends and invisible letters"
                raise settings.wrong(key, "holds a character that HTTP cannot send", hint=hint)
        account = Account(
            api_key=api_key,
            base_url=settings.text(
                "base_url", opening.environment.get("OPENAI_BASE_URL", "")
            ).strip(),
            named=_named(opening),
            organization=settings.text("organization"),
            project=settings.text("project"),
            headers=headers,
            azure_endpoint=settings.text("azure_endpoint"),
            api_version=settings.text("api_version"),
            timeout=settings.number("timeout", 600.0),
        )
        for key in ("base_url", "azure_endpoint"):
            if settings.text(key) and not _is_address(settings.text(key)):
                hint = f"{key}: https://host/v1"
                raise settings.wrong(key, "is not a valid URL", hint=hint)
        return cls(
            name=opening.name,
            llm=settings.text("llm", "gpt-4o-mini"),
            account=account,
            limits=opening.limits,
            poll_seconds=settings.number("poll_seconds", 60.0),
            lost_after=settings.number("lost_after", 60.0),
            prices=_prices(settings),
            discount=_discount(settings),
        )

    @property
    def identity(self) -> str:
        return f"openai:{self.account.url}"

    @property
    def pause(self) -> tuple[float, float]:
        return min(FIRST_POLL, self.poll_seconds), self.poll_seconds

    def price(self, llm: str, *, now: bool = False) -> Price | None:
        """The project's own price, or that of the llm it names, or the list price of this one."""
        known = self.prices.get(llm, llm)
        if isinstance(known, str):
            known = self.prices.get(known, known)
        if isinstance(known, Price):
            discount = DISCOUNT if self.discount is None else self.discount
            return known if now else known.less(discount)
        return listed(str(known), url=self.account.url, batch=not now, discount=self.discount)

    def check(self, *, images: bool, endpoint: str) -> None:  # noqa: ARG002  # any llm may see
        if not self.account.api_key:
            hint = (
                "export OPENAI_API_KEY=..., or set api_key: ${MY_KEY} under "
                f"providers: {self.name}: in project.yml"
            )
            raise ProviderError(f"provider '{self.name}' has no API key", hint=hint)

    def offers(self, llm: str) -> bool | None:
        """As `GET /v1/models/{model}` says; Azure's and others' servers need not know it."""
        import openai

        from enrich.providers.bounds import within

        with self._translated():
            try:
                client = self.client.with_options(max_retries=1, timeout=PROBE)
                within(PROBE, lambda: client.models.retrieve(llm))
            except openai.NotFoundError as problem:
                return False if problem.code == "model_not_found" else None
        return None if self.account.azure_endpoint else True

    @cached_property
    def client(self) -> openai.OpenAI:
        """The SDK's client, closed with the provider; it retries what is safe to repeat."""
        self.check(images=False, endpoint="")
        client = self._client()
        weakref.finalize(self, client.close)
        return client

    def _client(self) -> openai.OpenAI:
        import openai

        from enrich.providers import bounds

        known = self.account
        here = openai.DefaultHttpxClient(
            follow_redirects=False,  # it would carry headers and rows to wherever it leads
            headers={"Accept-Encoding": "gzip"},
            event_hooks=bounds.hooks(known.timeout),
        )
        if known.azure_endpoint:
            return openai.AzureOpenAI(
                api_key=known.api_key,
                azure_endpoint=known.azure_endpoint,
                api_version=known.api_version or "2024-10-21",
                default_headers=dict(known.headers),
                timeout=known.timeout,
                http_client=here,
            )
        return openai.OpenAI(
            api_key=known.api_key,
            base_url=known.base_url or OPENAI,
            organization=known.organization or None,
            project=known.project or None,
            default_headers=dict(known.headers),
            timeout=known.timeout,
            http_client=here,
        )

    def _ask(
        self, call: Callable[[openai.OpenAI], T], *, creating: bool = False, sent: int = 0
    ) -> T:
        """What one call gives, within the timeout, and what `sent` bytes take at the slowest."""
        from enrich.providers.bounds import SLOWEST, within

        with self._translated(creating=creating):
            client = self.client
            return within(self.account.timeout + sent / SLOWEST, lambda: call(client))

    def upload(self, path: Path) -> str:
        """Send the file once: what the SDK repeats by itself, nobody would know of."""
        from enrich.providers.bounds import usable_id

        with self._translated(), path.open("rb") as lines:
            named = (path.name, lines, "application/jsonl")
            made = self._ask(
                lambda client: client.with_options(max_retries=0).files.create(
                    file=named, purpose="batch"
                ),
                sent=path.stat().st_size,
            )
            return usable_id(made.id, "the uploaded file")

    def uploaded(self, name: str) -> tuple[str, ...]:
        try:
            files = self._listed(lambda client: client.files.list(purpose="batch", order="desc"))
            found = (file for file in files if getattr(file, "filename", "") == name)
            return tuple(str(file.id) for file in found)
        except Unavailable:
            raise
        except ProviderError:
            return ()

    def _listed(self, first: Callable[[openai.OpenAI], Any]) -> Iterator[Any]:
        """The items of a list, page by page; ProviderError where its pages do not end."""
        deadline = time.monotonic() + LISTING * self.account.timeout
        seen: set[str] = set()
        page = self._ask(first)
        for _ in range(MOST_PAGES):
            with self._translated():
                items = list(page.data or ())
                last = str(getattr(items[-1], "id", "")) if items else ""
            yield from items
            if page.has_next_page() is not True or not items:
                return
            if last in seen or time.monotonic() > deadline:
                break
            seen.add(last)
            page = self._ask(lambda _, page=page: page.get_next_page())  # type: ignore[misc]
        what = f"{self.name} gives a list that does not end, or repeats itself"
        raise ProviderError(what, hint=f"check base_url: {self.account.url}")

    def ready(self, file: str) -> bool:
        """As `GET /v1/files/{id}` says, where a server has that route."""
        try:
            status = getattr(self._ask(lambda client: client.files.retrieve(file)), "status", "")
        except Unavailable:
            raise
        except ProviderError:
            return True
        return re.sub("[^a-z]", "", str(status or "").lower()) not in PENDING

    def discard(self, file: str) -> None:
        import openai

        from enrich.providers.bounds import within

        with self._translated(), suppress(openai.NotFoundError):
            within(self.account.timeout, lambda: self.client.files.delete(file))

    def submit(self, file: str, *, endpoint: str, metadata: Mapping[str, str]) -> Remote:
        """Create the batch, once. A refusal because the file is not ready is one for now."""
        try:
            return self._created(file, endpoint, metadata)
        except (Unavailable, Unclear):
            raise
        except ProviderError as problem:
            if NOT_READY.search(problem.message) or not self.ready(file):
                hint = "its file is not ready yet; nothing is lost"
                raise Unavailable(problem.message, hint=hint) from problem
            raise

    def _created(self, file: str, endpoint: str, metadata: Mapping[str, str]) -> Remote:
        with self._translated(creating=True):
            batch = self._ask(
                lambda client: client.with_options(max_retries=0).batches.create(
                    input_file_id=file,
                    endpoint=endpoint,  # type: ignore[arg-type]  # compatible servers may take more
                    completion_window="24h",
                    metadata=dict(metadata),
                ),
                creating=True,
            )
            return self._remote(batch.to_dict(warnings=False))

    def find(self, intent: str, *, file: str) -> Remote | None:
        for batch in self._listed(lambda client: client.batches.list(limit=100)):
            with self._translated():
                known = getattr(batch, "metadata", None)
                known = known if isinstance(known, dict) else {}
                made_of, status = (getattr(batch, name, "") for name in ("input_file_id", "status"))
                mine = made_of == file and status != "failed"
                if known.get("enrich_batch") == intent or (mine and not known):
                    return self._remote(batch.to_dict(warnings=False))
        return None

    def poll(self, remote_id: str) -> Remote:
        with self._translated():
            found = self._ask(lambda client: client.batches.retrieve(remote_id))
            return self._remote(found.to_dict(warnings=False), asked=remote_id)

    def cancel(self, remote_id: str) -> Remote:
        """Ask for it; a batch that has ended meanwhile (409) is shown as it ended."""
        import openai

        with self._translated():
            try:
                found = self._ask(
                    lambda client: client.with_options(max_retries=0).batches.cancel(remote_id)
                )
            except Unavailable as problem:
                if not isinstance(problem.__context__, openai.ConflictError):
                    raise
                return self.poll(remote_id)
            return self._remote(found.to_dict(warnings=False), asked=remote_id)

    def fetch(self, file: str, path: Path) -> None:
        """Stream a result file; one that is gone will not come back."""
        import openai

        try:
            self._stream(file, path)
        except ProviderError as problem:
            if not isinstance(problem.__context__, openai.NotFoundError):
                raise
            what = f"{self.name} does not have the result file {file} any more"
            hint = "give the batch up, and its rows can be asked again: enrich cancel --forget"
            raise ProviderError(what, hint=hint) from problem

    def _stream(self, file: str, path: Path) -> None:
        part = path.with_suffix(".part")
        coming = self.client.files.with_streaming_response.content(file)
        with self._translated(), ExitStack() as stack:
            answer = self._ask(lambda _: coming.__enter__())
            stack.push(coming)
            out = stack.enter_context(open(part, "wb", opener=_private))  # Path.open has no opener
            for chunk in answer.iter_bytes(CHUNK):
                out.write(chunk)
        part.replace(path)
        self.account.surely.clean(path)

    def _remote(self, batch: Mapping[str, Any], *, asked: str = "") -> Remote:
        """A batch object without any secret that the server repeats in it; `asked` is its id."""
        from enrich.providers.bounds import Unreadable

        found = remote(batch)
        if asked and found.id != asked:
            raise Unreadable("it was asked for one batch, and speaks of another")
        clean = self.account.redacted
        return replace(found, code=clean(found.code), error=clean(found.error))

    def complete(self, requests: Path, results: Path) -> None:
        """Ask one by one, a few side by side. What was asked is waited for, even after Ctrl-C: it
        is paid for. A call whose answer was lost is not repeated, and has no line.

        Raises what went wrong only where no request was answered, or all were refused alike: that
        lies in what they share.
        """
        lines = [json.loads(line) for line in requests.read_bytes().split(b"\n") if line]
        problems: list[ProviderError] = []
        refusals: list[ProviderError] = []
        lock = Lock()
        with open(results, "ab", opener=_private) as out:  # Path.open has no opener

            def ask(line: Mapping[str, Any]) -> None:
                try:
                    answered = {"response": self._answered(line), "error": None}
                except _Refusal as problem:
                    refusals.append(problem)
                    answered = {"response": problem.response, "error": None}
                except Unclear as problem:
                    problems.append(problem)
                    return
                except ProviderError as problem:
                    problems.append(problem)
                    error = {"code": "not_answered", "message": problem.message}
                    answered = {"response": None, "error": error}
                with lock:
                    known = {"custom_id": line["custom_id"], **answered}
                    text = self.account.surely.redacted(json.dumps(known))
                    out.write(text.encode() + b"\n")
                    out.flush()

            pool = ThreadPoolExecutor(SIDE_BY_SIDE)
            try:
                for asked in [pool.submit(ask, line) for line in lines]:
                    asked.result()
            finally:
                pool.shutdown(cancel_futures=True)
        if len(problems) == len(lines) and not any(isinstance(p, Unclear) for p in problems):
            raise problems[0]
        if len(refusals) == len(lines) and len({DIGITS.sub("", str(p)) for p in refusals}) == 1:
            raise ProviderError(refusals[0].message, hint=refusals[0].hint)

    def _answered(self, line: Mapping[str, Any]) -> dict[str, Any]:
        """`_answer`, tried again where the provider was busy, or could not be reached at all."""
        for pause in PAUSES:
            try:
                return self._answer(line)
            except Unavailable as problem:
                time.sleep(min(_asked_pause(problem, pause), LONGEST_PAUSE))
        return self._answer(line)

    def _answer(self, line: Mapping[str, Any]) -> dict[str, Any]:
        """A response line's `response`; what is wrong with this one request is an answer, too."""
        import openai

        from enrich.providers.bounds import within

        client = self.client.with_options(max_retries=0)
        with self._translated(creating=True):
            try:
                body: Any = within(
                    self.account.timeout,
                    lambda: client.post(
                        line["url"].removeprefix("/v1"), body=line["body"], cast_to=object
                    ),
                )
            except openai.APIStatusError as problem:
                status = problem.status_code
                if status == 503 or (status == 429 and not _broke(problem)):
                    self._refused(problem, creating=False)
                if status not in (400, 413, 422):
                    raise
                words = self.account.redacted(_words(problem))
                said = {"message": words, "code": problem.code}
                response = {"status_code": status, "body": {"error": said}}
                if "content" in str(problem.code or ""):  # a filter: it lies in this row
                    return response
                raise _Refusal(f"{self.name} answered {status}: {words}", response) from problem
        return {"status_code": 200, "body": body}

    @contextmanager
    def _translated(self, *, creating: bool = False) -> Iterator[None]:
        """Errors of the SDK as ours. While `creating`, a lost answer is Unclear."""
        import httpx2
        import openai

        from enrich.providers.bounds import Late, Unreadable

        try:
            yield
        except (Unreadable, Late, RecursionError) as problem:
            self._unread(problem, creating=creating)
        except openai.APIStatusError as problem:
            self._refused(problem, creating=creating)
        except openai.APIConnectionError as problem:
            self._unreached(problem, creating=creating)
        except (httpx2.HTTPError, AttributeError, KeyError, TypeError, ValueError) as problem:
            if isinstance(problem, UnicodeEncodeError):
                what = f"{self.name}: the API key or a header holds a letter that HTTP cannot send"
                raise ProviderError(what, hint="copy the key anew") from None
            self._unread(problem, creating=creating)
        except openai.OpenAIError as problem:
            said = self.account.redacted(str(problem))
            raise ProviderError(said, hint=f"see providers: {self.name}: in project.yml") from None
        except OSError as problem:
            what = f"{problem.filename or 'a file'}: {problem.strerror}"
            raise DiskError(what, hint="make room, or see who may write there") from problem

    def _unread(self, problem: Exception, *, creating: bool) -> NoReturn:
        """An answer that cannot be used, or did not come in time."""
        from enrich.providers.bounds import Late, Unreadable

        if isinstance(problem, Late):
            what = f"{self.name} did not answer within {self.account.timeout:g} seconds"
        else:
            words = type(problem).__name__
            if isinstance(problem, Unreadable):
                words = str(problem)
            elif isinstance(problem, RecursionError):
                words = "its JSON is nested too deeply"
            what = f"{self.name} gave an answer that cannot be read: {words}"
        if creating:
            raise Unclear(what, hint=LOOK) from None
        hint = f"check base_url: {self.account.url}; does a Batch API answer there?"
        raise Unavailable(what, hint=hint) from None

    def _refused(self, problem: openai.APIStatusError, *, creating: bool) -> NoReturn:
        """What an HTTP status means; the provider's own words are kept, secrets are not."""
        status = problem.status_code
        said = self.account.redacted(_words(problem))
        what = f"{self.name} answered {status}: {said}"
        if creating and (status >= 500 or status == 408):
            raise Unclear(what, hint=LOOK) from None
        if status >= 500 or status in (408, 409) or (status == 429 and not _broke(problem)):
            busy = Unavailable(what, hint="nothing is lost; try again later")
            busy.answered = True
            raise busy from None
        moved = problem.response.headers.get("location", "") if 300 <= status < 400 else ""
        if moved:
            what = f"{self.name} answered {status}: it is at another address"
            hint = f"if that is right, set base_url to it: {self.account.redacted(moved)[:200]}"
            raise ProviderError(what, hint=hint) from None
        hints = {
            401: "check the API key: OPENAI_API_KEY, or api_key: in project.yml",
            403: "the key may not do this: check its project and its permissions",
            404: f"check base_url: {self.account.url}; does it have a Batch API, and this llm?",
            429: "the account's quota or budget is used up: see the provider's billing page",
        }
        raise ProviderError(what, hint=hints.get(status, "")) from None

    def _unreached(self, problem: openai.APIConnectionError, *, creating: bool) -> NoReturn:
        import httpx2

        from enrich.providers.bounds import Late, Unreadable

        if isinstance(problem.__cause__, (Unreadable, Late)):
            self._unread(problem.__cause__, creating=creating)
        never_sent = isinstance(problem.__cause__, (httpx2.ConnectError, httpx2.ConnectTimeout))
        why = self.account.redacted(str(problem.__cause__ or problem))
        what = f"{self.name} cannot be reached at {self.account.url}: {why}"
        if creating and not never_sent:
            raise Unclear(what, hint=LOOK) from None
        raise Unavailable(what, hint="check the connection and base_url") from None


def remote(batch: Mapping[str, Any]) -> Remote:
    """A batch object of the API as a Remote; fields that compatible servers leave out are empty.

    Raises Unreadable where it could not be asked for again, or says not how it stands.
    """
    from enrich.providers import bounds

    counts = batch.get("request_counts")
    counts = counts if isinstance(counts, dict) else {}
    completed, failed = (bounds.count(counts.get(word)) for word in ("completed", "failed"))
    output, errors = (batch.get(f"{kind}_file_id") for kind in ("output", "error"))
    status = bounds.usable_word(batch.get("status"), "the batch")
    ended = status.lower() in TERMINAL
    code, message = _first_error(batch.get("errors"))
    return Remote(
        id=bounds.usable_id(batch.get("id"), "the batch"),
        status=status,
        completed=completed,
        failed=failed,
        total=bounds.count(counts.get("total")),
        files=tuple(bounds.usable_id(file, "a result file") for file in (output, errors) if file),
        late=ended and bool((completed and not output) or (failed and not (errors or output))),
        code=code,
        error=message,
    )


def _first_error(errors: object) -> tuple[str, str]:
    """The code and the sentence of a batch's first error: OpenAI wraps the list in an object, some
    servers do not, and some give a text."""
    listed = errors.get("data") or [errors] if isinstance(errors, dict) else errors
    first = listed[0] if isinstance(listed, list) and listed else listed
    if not isinstance(first, dict):
        return "", _line(_said(first))
    code = first.get("code")
    code = _line(code)[:LONGEST_CODE] if isinstance(code, str) else ""
    message = _line(_said(first)) or code
    line = first.get("line")
    is_line = isinstance(line, int) and message
    return code, f"{message} (line {line} of the request file)" if is_line else message


def _words(problem: openai.APIStatusError) -> str:
    """The server's own words, in whatever shape it has them, as one line without markup."""
    return _line(_said(problem.body) or problem.message.split("\n")[0])


def _line(said: str) -> str:
    """A server's words as one line of plain letters."""
    plain = MARKUP.sub(" ", STYLE.sub(" ", said[:LONGEST_PAGE]))
    letters = "".join(char if char.isprintable() else " " for char in plain)
    return " ".join(letters.split())[:LONGEST_SENTENCE]


def _said(body: object, depth: int = 0) -> str:
    """The first text of an error body that stands where servers put their words."""
    if isinstance(body, str):
        return body
    inside: Iterable[object] = ()
    if isinstance(body, list):
        inside = body[:LOOKED_AT]
    elif isinstance(body, dict):
        inside = (body.get(key) for key in SPOKEN)
    if depth == DEEPEST:
        return ""
    return next(filter(None, (_said(each, depth + 1) for each in inside)), "")


def _asked_pause(problem: ProviderError, usual: float) -> float:
    """The seconds that a provider asks to wait (Retry-After), or the usual ones."""
    response = getattr(problem.__context__, "response", None)
    try:
        asked = float(response.headers["retry-after"]) if response is not None else usual
    except (KeyError, ValueError):
        return usual
    return asked if asked >= 0 else usual  # neither a time in the past nor NaN


def _broke(problem: openai.APIStatusError) -> bool:
    """Whether a 429 says that there is no money, which waiting does not mend."""
    return problem.code in ("insufficient_quota", "billing_hard_limit_reached")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _named(opening: Opening) -> dict[str, str]:
    """The environment variables that a provider's account names, and their values; in an address
    only those that stand behind its host."""
    found: dict[str, str] = {}
    for key in ("api_key", "headers", "organization", "project", "base_url", "azure_endpoint"):
        text = str(opening.written.values.get(key) or "")
        if key in ("base_url", "azure_endpoint"):
            text = text.partition("://")[2].partition("/")[2]
        found |= {
            name: opening.environment.get(name, "").strip() for name in VARIABLE.findall(text)
        }
    return {name: value for name, value in found.items() if value}


def _prices(settings: Settings) -> dict[str, Price | str]:
    """USD for a million tokens by llm, or the name of the llm that costs the same."""
    found: dict[str, Price | str] = {}
    for llm, value in settings.mapping("prices").items():
        if isinstance(value, str):
            found[llm] = value
            continue
        figures: dict[str, Any] = value if isinstance(value, dict) else {}
        known = {"input", "cached", "output"}
        fits = {"input", "output"} <= set(figures) <= known and all(
            isinstance(figure, (int, float))
            and not isinstance(figure, bool)
            and 0 <= figure <= MOST
            for figure in figures.values()
        )
        if not fits:
            hint = f"{llm}: {{input: 0.15, cached: 0.075, output: 0.60}}, in USD for a million"
            raise settings.wrong("prices", f"has no price of '{llm}'", hint=hint)
        found[llm] = Price(
            input=float(figures["input"]),
            cached=float(figures.get("cached", figures["input"])),
            output=float(figures["output"]),
            source="project.yml",
        )
    return found


def _discount(settings: Settings) -> float | None:
    if "batch_discount" not in settings.values:
        return None
    discount = settings.number("batch_discount", 0.0)
    if discount > 1:
        hint = "batch_discount: 0.5 where a batch costs half"
        raise settings.wrong("batch_discount", "must be a share, 0 to 1", hint=hint)
    return discount


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
