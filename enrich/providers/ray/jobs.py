"""The Jobs API of a Ray cluster, in HTTP: what `ray job submit` uses, without Ray on this machine.

Its routes and documents are those of Ray's `dashboard/modules/job`, whose version is 4.
"""

from __future__ import annotations

import json
import re
import time
import weakref
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote

from enrich.errors import ProviderError, Unavailable, Unclear, Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import httpx2

    from enrich.providers.secrets import Secrets

JOB_LOOK_FIRST = "enrich looks for the job before it submits it again"
LONGEST_WORDS = 300
STARTING = re.compile("No available agent|Agent info not found")
"""What the head of a cluster answers before it can run anything: then nothing was submitted."""
UNKNOWN = re.compile("does not exist")
"""What it answers, with status 404, to the id of a job or a package that it does not know."""
KNOWN = re.compile("submission_id .* already exists")
"""What it answers, with status 500, to an id that it knows."""
LETTER = re.compile(r"\w")
JOBS_SECONDS = 60.0
"""How long a call may take. A job is answered for once its supervisor has been placed."""
FRESH_SECONDS = 1.0
"""A preview looks at its batch many times a second; the cluster need not be asked each time."""


@dataclass(frozen=True, kw_only=True)
class ClusterJob:
    """A job as Ray reports it, with what it says in one line."""

    status: str
    message: str

    @property
    def is_alive(self) -> bool:
        """Whether its driver runs, or will."""
        return self.status in ("PENDING", "RUNNING")


@dataclass(frozen=True, kw_only=True)
class JobsApi:
    """The jobs of the cluster at `address`. `name` is the provider's, for messages, which show none
    of the `secrets`."""

    name: str
    address: str
    headers: Mapping[str, str] = field(repr=False)
    secrets: Secrets = field(repr=False)
    _alive: dict[str, tuple[float, ClusterJob]] = field(default_factory=dict, repr=False)

    @cached_property
    def _client(self) -> httpx2.Client:
        """The client; nothing is opened before the first call."""
        import httpx2

        from enrich.providers import bounds

        client = httpx2.Client(
            base_url=self.address,
            follow_redirects=False,  # it would carry tokens to wherever it leads
            headers={**self.headers, "Accept-Encoding": "gzip"},
            event_hooks=bounds.make_hooks(JOBS_SECONDS),
            timeout=JOBS_SECONDS,
        )
        weakref.finalize(self, client.close)
        return client

    def read_version(self) -> str:
        """Returns the version of Ray on the cluster."""
        return str(self._ask("GET", "/api/version").get("ray_version", "?"))

    def find_job(self, job_id: str) -> ClusterJob | None:
        """Returns a job, as it was a moment ago; None if the cluster does not know it."""
        seen, job = self._alive.get(job_id, (float("-inf"), None))
        if job is not None and time.monotonic() - seen < FRESH_SECONDS:
            return job
        self._alive.pop(job_id, None)
        found = self._ask("GET", f"/api/jobs/{quote(job_id, safe='')}", missing=True)
        if not found:
            return None
        job = ClusterJob(status=str(found.get("status")), message=self._say(found.get("message")))
        if job.is_alive:
            self._alive[job_id] = (time.monotonic(), job)
        return job

    def submit_job(
        self, job_id: str, *, command: str, environment: Mapping[str, Any], batch: str
    ) -> None:
        """Submits the job of a batch, once: nothing happens if the cluster knows its id. Raises
        Unclear if the answer was lost."""
        body = {
            "submission_id": job_id,
            "entrypoint": command,
            "runtime_env": environment,
            "metadata": {"enrich_batch": batch},
        }
        self._ask("POST", "/api/jobs/", body=body, creating=True)

    def stop_job(self, job_id: str) -> None:
        """Stops a job, if the cluster knows it."""
        self._ask("POST", f"/api/jobs/{quote(job_id, safe='')}/stop", missing=True)

    def send_package(self, name: str, content: bytes) -> str:
        """Sends a package, unless it is there, and returns its address on the cluster."""
        route = f"/api/packages/gcs/{name}"
        if self._ask("GET", route, missing=True) is None:
            self._ask("PUT", route, content=content)
        return f"gcs://{name}"

    def _ask(
        self,
        method: str,
        route: str,
        *,
        body: Any = None,  # noqa: ANN401  # any JSON
        content: bytes | None = None,
        creating: bool = False,
        missing: bool = False,
    ) -> Any:  # noqa: ANN401  # any JSON
        """Returns the document of an answer; None for a 404 if something may be `missing`."""
        from enrich.providers.bounds import call_within

        with self._translate_errors(creating=creating):
            client = self._client
            answer = call_within(
                JOBS_SECONDS,
                lambda: client.request(method, route, json=body, content=content),
            )
            if answer.status_code == 404 and missing and UNKNOWN.search(answer.text):
                return None
            if creating and KNOWN.search(answer.text):
                return {}  # an earlier answer was lost
            if answer.status_code >= 300:
                self._raise_job_refused(answer, creating=creating)
            return answer.json() if answer.content else {}

    @contextmanager
    def _translate_errors(self, *, creating: bool) -> Iterator[None]:
        """The door for errors of HTTP."""
        import httpx2

        from enrich.providers.bounds import Late, Unreadable

        try:
            yield
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as problem:
            words = self.secrets.redact(str(problem))
            what = f"{self.name}: the cluster at {self.address} cannot be reached: {words}"
            hint = "check `address:`: it is that of the dashboard, http://HEAD:8265"
            raise Unreachable(what, hint=hint) from None
        except (
            httpx2.HTTPError,
            Late,
            Unreadable,
            json.JSONDecodeError,
            AttributeError,
        ) as problem:
            words = self.secrets.redact(str(problem)) or type(problem).__name__
            what = f"{self.name}: the cluster at {self.address} gave no usable answer: {words}"
            if creating:
                raise Unclear(what, hint=JOB_LOOK_FIRST) from None
            raise Unavailable(what, hint="does Ray's Jobs API answer there?") from None
        except (UnicodeEncodeError, httpx2.InvalidURL) as problem:
            what = f"{self.name}: the address or a header cannot be sent"
            hint = f"check `address:`, `token:` and `headers:`: {type(problem).__name__}"
            raise ProviderError(what, hint=hint) from None

    def _raise_job_refused(self, answer: httpx2.Response, *, creating: bool) -> NoReturn:
        """Raises what a status means."""
        status, words = answer.status_code, self._say(answer.text)
        what = f"{self.name}: the cluster answered {status}: {words}"
        if status in (401, 403):
            hint = "set `token:` to the cluster's own: `ray get-auth-token` on its head shows it"
            raise ProviderError(what, hint=hint)
        if status >= 500 and creating and not STARTING.search(answer.text):
            # It may know this id, which it reports as a failure, or have failed afterward.
            raise Unclear(what, hint=JOB_LOOK_FIRST)
        if status == 404 and not creating:
            # Of a proxy, or of a server that has nothing to do with Ray: it says nothing of a job.
            raise Unavailable(what, hint=f"does Ray's Jobs API answer at {self.address}?")
        if status >= 500 or status in (408, 429):
            raise Unavailable(what, hint="nothing is lost; try again later")
        raise ProviderError(what, hint=f"check `address:` {self.address}, and `runtime_env:`")

    def _say(self, text: object) -> str:
        """Returns the last line of what Ray says, which may be a traceback, without secrets."""
        lines = [line.strip() for line in str(text or "").splitlines() if LETTER.search(line)]
        return self.secrets.redact(lines[-1] if lines else "it says nothing")[:LONGEST_WORDS]
