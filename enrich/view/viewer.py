"""Viewer: answers the page's four questions about one project, as it is now."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from enrich.compiler.input_rows import render_inputs_upgrade
from enrich.db import still
from enrich.db.alias import Scratch
from enrich.errors import EnrichError, InputError, Locked
from enrich.manifest.reviews import REVIEWS_FOLDER
from enrich.view.build import build_rows
from enrich.view.life import find_row_life
from enrich.view.reviewing import Reviewing
from enrich.view.rows import PageQuery, ShownRows
from enrich.view.site import build_site
from enrich.view.versions import PairedRows, pair_versions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from enrich.db.database import Both
    from enrich.db.files import DatabaseFiles
    from enrich.manifest.graph import Graph
    from enrich.manifest.model import Model
    from enrich.pipeline.workspace import Workspace

PATIENCE = 4
"""How many times as long as a look has taken the next one is put off."""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """The project at one moment: its models, copies of its databases, and what the page shows of
    them. `stamp` changes with any file."""

    stamp: str
    workspace: Workspace
    files: DatabaseFiles
    site: Mapping[str, Any]
    as_of: str

    @property
    def graph(self) -> Graph:
        return self.workspace.graph


@dataclass
class Viewer:
    """What `enrich view` knows. `open_workspace` opens the project, each time its files have
    changed. Without `copies`, the databases themselves are read, for a process that may have them
    open already. The methods may be called by several threads."""

    open_workspace: Callable[[], Workspace]
    reviewer: str = ""
    copies: bool = True
    _moment: Moment | None = None
    _problem: str = ""
    _row_problems: dict[str, str] = field(default_factory=dict)
    _busy: bool = False
    _home: Scratch = field(default_factory=Scratch)
    _rows: dict[str, tuple[str, ShownRows]] = field(default_factory=dict)
    _old: list[ShownRows] = field(default_factory=list)
    _pairs: dict[tuple[str, str, str], PairedRows] = field(default_factory=dict)
    _reviews: tuple[Any, dict[str, Any]] | None = None
    _next_look: float = 0.0
    _building: set[str] = field(default_factory=set)
    _lock: Lock = field(default_factory=Lock)
    _refreshing: Lock = field(default_factory=Lock)
    _attaching: Lock = field(default_factory=Lock)

    # The page's questions ------------------------------------------------------------------------

    def site(self) -> dict[str, Any]:
        """Returns everything outside of the rows. `version` changes when any of it does, and
        `rowsVersions` when the rows of a model have."""
        moment = self._find_moment()
        return {
            **moment.site,
            "project": moment.workspace.config.name,
            "version": sha256(f"{moment.stamp}{self._problem}".encode()).hexdigest()[:12],
            "asOf": moment.as_of,
            "busy": self._busy,
            "problem": "; ".join(filter(None, [self._problem, *self._row_problems.values()])),
            "reviewer": self.reviewer,
            "reviews": self._describe_reviews(moment),
            "rowsVersions": {name: tag for name, (tag, _) in self._rows.items()},
        }

    def page(self, words: Mapping[str, str]) -> dict[str, Any]:
        """Returns a page of a model's rows (see PageQuery), or with `was` and `now`, two versions,
        of their answers side by side. Raises InputError."""
        model = words.get("model", "")
        shown = self.find_rows(model)
        query = PageQuery.from_words(words)
        if words.get("now"):
            paired = self.find_pairs(model, (words.get("was", ""), words["now"]))
            return paired.find_page(
                offset=query.offset,
                limit=query.limit,
                differing=words.get("differing") == "true",
            )
        return {**describe_columns(shown), **shown.find_page(query, words.get("tab", ""))}

    def row(self, model: str, number: int) -> dict[str, Any]:
        """Returns everything about one row. Raises InputError."""
        shown = self.find_rows(model)
        found = shown.find_row(number)
        key = {
            column.name: text
            for column, text in zip(shown.columns, found["cells"], strict=True)
            if column.role == "key"
        }
        life: dict[str, Any] = {"messages": [], "raw": None, "life": []}
        if key:
            with self._find_moment().files.open_both(warehouse="read", ledger="read") as database:
                life = find_row_life(database, model, key, found["fingerprint"])
        return {**describe_columns(shown), "total": shown.total, "key": key, **found, **life}

    def review(self, words: Mapping[str, Any]) -> dict[str, Any]:
        """Returns rows to review or, with a `verdict`, records it. Raises InputError."""
        name = str(words.get("model", ""))
        reviewing = Reviewing(self._find_moment().workspace, self.reviewer)
        shown = self.find_rows(name)
        if words.get("verdict"):
            return reviewing.record(name, shown, words)
        return {**describe_columns(shown), **reviewing.find_queue(name, shown, words)}

    def picture(self, model: str, number: int, place: int) -> bytes | None:
        """Returns the bytes of a row's picture that is in a file or a BLOB; None if it may not be
        read."""
        value = self.find_rows(model).find_picture(number, place)
        if isinstance(value, bytes):
            return value
        config = self._find_moment().workspace.config
        file = config.root / value if value and "\0" not in value else None
        try:
            if file is None or not config.may_read(file) or not file.is_file():
                return None
            return file.read_bytes()
        except (OSError, RuntimeError):
            return None

    def check_reviewable(self, name: str) -> None:
        """Raises EnrichError if a model has no answers that a person could review."""
        moment = self._find_moment()
        _ = moment.graph.find_model(name).own_prompt  # raises for a plain model
        if not self.list_answered_versions(name):
            raise InputError(f"'{name}' has not been run yet", hint=f"enrich run {name}")

    # What stands behind them ---------------------------------------------------------------------

    def refresh(self) -> None:
        """Look at the project again, if any of its files has changed. Raises EnrichError only if
        nothing can be shown at all."""
        with self._refreshing:
            try:
                self._refresh()
                self._problem = ""
            except EnrichError as problem:
                # What is on the screen stays: a file may be half edited.
                self._problem = f"{problem.message} ({problem.hint})"
                if self._moment is None:
                    raise

    def _refresh(self) -> None:
        workspace = self.open_workspace()
        stamp = _stamp_project(workspace)
        if self._moment is not None and self._moment.stamp == stamp:
            self._busy = False
            return
        began = time.monotonic()
        if began < self._next_look and self._moment is not None:
            return
        copies = self._copy_files(workspace)
        self._busy = copies is None
        if copies is None:
            return
        # The rows of a model outlive the copies that they were read from.
        reach = None if copies.reach is None else (*copies.reach, self._home.path)
        copies = replace(copies, reach=reach)
        here = replace(workspace, files=copies)
        graph = here.graph  # which may open the warehouse itself
        # Opened for writing, so that an older ledger is brought up to date.
        with copies.open_both(warehouse="read") as database:
            for (name,) in database.execute("SELECT DISTINCT model FROM ledger.runs"):
                database.execute(render_inputs_upgrade(name))
            site = build_site(database, graph)
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        self._moment = Moment(stamp=stamp, workspace=here, files=copies, site=site, as_of=now)
        # Of a large project, which takes long to look at, the page shows a run in larger steps.
        self._next_look = time.monotonic() + PATIENCE * (time.monotonic() - began)
        for name in list(self._rows):
            self._renew_rows(name)

    def _copy_files(self, workspace: Workspace) -> DatabaseFiles | None:
        """Returns what is looked at; None if it is being written, unless nothing is shown yet.

        Raises Locked if nothing can be shown because the files are written all the time.
        """
        if not self.copies:
            return workspace.files
        deadline = time.monotonic() + workspace.files.lock_timeout
        while True:
            copies = still.copy_files(workspace.files)
            if copies is not None or self._moment is not None:
                return copies
            if time.monotonic() > deadline:
                hint = "wait until it has finished"
                raise Locked("another program keeps writing to the databases", hint=hint)
            time.sleep(0.05)

    def _find_moment(self) -> Moment:
        if self._moment is None:
            self.refresh()
        if self._moment is None:
            raise InputError("the project cannot be read yet", hint="try again in a moment")
        return self._moment

    def find_rows(self, name: str) -> ShownRows:
        """Returns the rows of a model, built now if nobody has looked at them before."""
        moment = self._find_moment()
        model = moment.graph.find_model(name)
        with self._lock:
            if model.name not in self._rows:
                tag = _tag_rows(moment, model)
                self._rows[model.name] = tag, self._build_rows(moment, model)
            return self._rows[model.name][1]

    def _build_rows(self, moment: Moment, model: Model) -> ShownRows:
        # A DuckDB has one database of a name at a time.
        with self._attaching:
            return build_rows(moment.files, model, folder=self._home.path)

    def _renew_rows(self, name: str) -> None:
        """Build the rows of a model again if they have changed, without anybody waiting for it."""
        moment = self._find_moment()
        model = moment.graph.models.get(name)
        if (
            model is None
            or name in self._building
            or _tag_rows(moment, model) == self._rows[name][0]
        ):
            return
        self._building.add(name)
        Thread(target=self._replace_rows, args=(moment, model), daemon=True).start()

    def _replace_rows(self, moment: Moment, model: Model) -> None:
        try:
            tag = _tag_rows(moment, model)
            fresh = self._build_rows(moment, model)
            with self._lock:
                # Closed one round later, because a question may still be reading them.
                for each in [old for old in self._old if old.model == model.name]:
                    self._old.remove(each)
                    each.close()
                self._old.append(self._rows[model.name][1])
                self._rows[model.name] = tag, fresh
            self._row_problems.pop(model.name, None)
        except EnrichError as problem:
            self._row_problems[model.name] = f"{problem.message} ({problem.hint})"
        finally:
            self._building.discard(model.name)

    def find_pairs(self, model: str, versions: tuple[str, str]) -> PairedRows:
        """Returns the answers of two versions side by side, which are paired once. Raises
        InputError if the model has no such versions."""
        self._check_versions(model, versions)
        shown = self.find_rows(model)
        wanted = (shown.path.name, *versions)
        with self.open_with_rows(shown) as database:
            if wanted not in self._pairs:
                # Those of earlier rows are of no more use.
                for each in [key for key in self._pairs if key[0] != wanted[0]]:
                    self._pairs.pop(each).path.unlink(missing_ok=True)
                self._pairs[wanted] = pair_versions(
                    database, shown, versions, folder=self._home.path
                )
        return self._pairs[wanted]

    def list_answered_versions(self, model: str) -> list[str]:
        """Returns the versions of a model that have answers, the earliest first."""
        return [
            row["prompt"]
            for each in self._find_moment().site["models"]
            if each["name"] == model
            for row in each["prompts"]
            if row["ok"]
        ]

    def _describe_reviews(self, moment: Moment) -> dict[str, Any]:
        """Returns what reviews say, computed again if they or the answers have changed."""
        folder = moment.workspace.config.root / REVIEWS_FOLDER
        files = sorted(folder.glob("*.jsonl")) if folder.is_dir() else []
        stamp = (moment.stamp, *((str(path), path.stat().st_size) for path in files))
        if self._reviews is None or self._reviews[0] != stamp:
            found = Reviewing(moment.workspace, self.reviewer).describe(moment.files)
            self._reviews = stamp, found
        return self._reviews[1]

    def _check_versions(self, model: str, versions: tuple[str, str]) -> None:
        known = self.list_answered_versions(model)
        for version in versions:
            if version not in known:
                raise InputError(f"'{model}' has no version '{version}'", hint="reload the page")

    @contextmanager
    def open_with_rows(self, shown: ShownRows) -> Iterator[Both]:
        """Opens the databases together with the rows of a model."""
        files = self._find_moment().files
        with self._attaching, files.open_both(warehouse="read", ledger="read") as database:
            database.attach(shown.path, "shown", "READ_ONLY")
            try:
                yield database
            finally:
                database.execute("DETACH shown")


def describe_columns(shown: ShownRows) -> dict[str, Any]:
    """Returns what the page has to know about the columns of a model's rows."""
    return {
        "columns": [
            {
                "place": column.place,
                "name": column.name,
                "type": column.type,
                "role": column.role,
                "labels": list(column.labels),
                "list": column.is_list and not column.is_nested,
                "nested": column.is_nested,
            }
            for column in shown.columns
        ],
        "all": shown.total,
        "trouble": shown.trouble,
    }


def _stamp_project(workspace: Workspace) -> str:
    """Returns what changes with any of the project's files that the page depends on."""
    config = workspace.config
    folders = (config.models, config.root / REVIEWS_FOLDER)
    files = sorted(path for folder in folders if folder.is_dir() for path in folder.rglob("*"))
    parts = [*still.stamp_files(workspace.files)]
    for path in (config.root / "project.yml", *files):
        try:
            found = path.stat()
        except OSError:
            continue
        parts.append((str(path), found.st_ino, found.st_size, found.st_mtime_ns))
    return sha256(repr(parts).encode()).hexdigest()


def _tag_rows(moment: Moment, model: Model) -> str:
    """Returns what changes when the rows of a model may have: its SELECT, or a table that it reads
    or is published as."""
    reads = {model.name, *moment.graph.parents[model.name], *moment.graph.list_tables(model.name)}
    with moment.files.open_warehouse("read") as database:
        comments = [
            (schema, name, database.call("exists", schema=schema, name=name))
            for name in sorted(reads)
            for schema in ("main", "enrich")
        ]
    text = model.prompt.text if model.prompt else ""
    return sha256(repr((comments, model.query, text)).encode()).hexdigest()[:12]
