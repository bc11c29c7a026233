"""A rehearsal: a real HTTP server on loopback that speaks OpenAI's Files and Batches API.

You can run a project against it end to end before you spend money, and the tests of enrich use it
wherever they need the Batch API. It answers every request with plausible values that conform to
its schema, or with the vectors of its texts, counts what would be billed, and injects faults on
demand.

    with Rehearsal(faults=Faults(dropped=0.1), seed=7) as server:
        client = OpenAI(base_url=server.base_url, api_key="any")
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Self

from enrich.errors import ProviderError
from enrich.rehearsal.answers import answer, hash_request
from enrich.rehearsal.apis import PLAYED_APIS
from enrich.rehearsal.batches import Batches
from enrich.rehearsal.bill import Bill, Till, Usage
from enrich.rehearsal.calls import Call, Calls
from enrich.rehearsal.faults import Faults, Step
from enrich.rehearsal.files import FileStore
from enrich.rehearsal.llm import Llm
from enrich.rehearsal.server import HOST, Server
from enrich.rehearsal.settings import Quirks, RehearsalSettings, Rewrite

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType

__all__ = [
    "Bill",
    "Call",
    "Faults",
    "Quirks",
    "Rehearsal",
    "Step",
    "Usage",
    "answer",
    "hash_request",
]


class Rehearsal:
    """The server, which listens inside a `with` block.

    At the end of the block its files and batches are gone, but its bill and its log are kept. Used
    a second time, it listens on the same port, like a provider that has lost its data.

    `api` names the API that it plays, one of PLAYED_APIS. `seed` decides every fault and the order
    of results. `port` 0 takes a free port. If there is an `api_key`, any other key is refused. A
    batch moves on by one state each time it is retrieved or, with `latency`, each time that many
    seconds have passed. `max_requests` and `max_bytes` limit an input file, `max_inputs` the texts
    that the requests of a batch embed, and `enqueued_tokens` (bytes / 4) the open batches of one
    llm. Requests for `unknown_llms` are refused, and so
    are those that have something of what their llm `refuses`: a parameter such as `max_tokens`, or
    `json_schema`, `json_object` or `image`; the llm "" stands for all. A hanging call takes `hang`
    seconds at most, and a 429 or a 5xx asks the client to wait for `retry_after` seconds. `rewrite`
    gets each result line before it is written, and returns what another server would write instead.
    The server's clock is `clock` seconds ahead.
    """

    def __init__(
        self,
        *,
        api: str = "batch",
        faults: Faults | None = None,
        quirks: Quirks | None = None,
        seed: int = 0,
        port: int = 0,
        api_key: str | None = None,
        latency: float | None = None,
        max_requests: int = 50_000,
        max_inputs: int = 50_000,
        max_bytes: int = 200_000_000,
        enqueued_tokens: int | None = None,
        unknown_llms: Iterable[str] = (),
        refuses: Mapping[str, Sequence[str]] | None = None,
        hang: float = 0.5,
        retry_after: float = 0.01,
        rewrite: Rewrite | None = None,
        clock: float = 0.0,
    ) -> None:
        self._port = port
        self.settings = RehearsalSettings(
            api=api,
            faults=faults or Faults(),
            quirks=quirks or Quirks(),
            seed=seed,
            api_key=api_key,
            latency=latency,
            max_requests=max_requests,
            max_inputs=max_inputs,
            max_bytes=max_bytes,
            enqueued_tokens=enqueued_tokens,
            unknown_llms=frozenset(unknown_llms),
            refuses={llm: tuple(names) for llm, names in (refuses or {}).items()},
            hang=hang,
            retry_after=retry_after,
            rewrite=rewrite,
            clock=clock,
        )
        self._calls = Calls(self.settings, PLAYED_APIS[api])
        self._till = Till()
        self._ended = Event()

    def __enter__(self) -> Self:
        """Start listening. Raises ProviderError if the port is taken."""
        self._ended.clear()
        self._folder = TemporaryDirectory(prefix="enrich-rehearsal-")
        self._files = files = FileStore(Path(self._folder.name), self.settings)
        llm = Llm(self.settings, self._till)
        self._batches = Batches(self.settings, files, llm)
        api = PLAYED_APIS[self.settings.api](self.settings, files, self._batches, llm)
        try:
            self._server = Server(self._port, api=api, calls=self._calls, settings=self.settings)
        except OSError as error:
            self._folder.cleanup()
            raise ProviderError(
                f"the rehearsal server cannot listen on port {self._port}: {error.strerror}",
                hint="choose another port",
            ) from error
        self._port = self._server.server_port
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening, break every connection and remove every file. May be called again."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._server.shutdown()
        self._thread.join()
        self._server.close()
        self._folder.cleanup()

    def serve(self) -> None:
        """Block until another thread calls `close`, or until Ctrl-C (KeyboardInterrupt)."""
        while not self._ended.wait(1):  # on Windows, a wait without a timeout ignores Ctrl-C
            pass

    @property
    def base_url(self) -> str:
        """The address for the SDK of its API, or for the `base_url` of a provider."""
        return f"http://{HOST}:{self._port}{PLAYED_APIS[self.settings.api].base_path}"

    @property
    def bill(self) -> Bill:
        """What would have been billed so far."""
        return self._till.bill

    @property
    def batches(self) -> list[dict[str, Any]]:
        """The batch objects, oldest first. Reading them does not advance them."""
        return [batch.render_document() for batch in self._batches.list_all()]

    @property
    def uploads(self) -> list[dict[str, Any]]:
        """The file objects of the request files that have not been deleted, oldest first."""
        return [
            file.render_document() for file in self._files.list_all() if file.purpose == "batch"
        ]

    @property
    def log(self) -> tuple[Call, ...]:
        """Every HTTP call so far, in the order of the responses."""
        return self._calls.all

    def sends(self, route: str) -> int:
        """Returns how many calls a route has had: `sends("GET /v1/batches/{id}")` for the polls."""
        return self._calls.count(route)

    def script(self, route: str, steps: Iterable[Step], *, replace: bool = False) -> None:
        """Decide what happens to the next calls of a route, one step each; "ok" lets a call pass.

        The steps come after those that were scripted before, or `replace` them.

        server.script("POST /v1/batches", ["lost", 500, (429, "insufficient_quota"), "reset"])
        """
        self._calls.script(route, steps, replace=replace)
