"""Config: project.yml as one frozen object, which is read once for each command."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enrich.db.creation import STORAGE_VERSION as DEFAULT_STORAGE
from enrich.errors import DiskError, ProjectError, nearest
from enrich.manifest.backup import Backup
from enrich.manifest.budget import PROJECT_BUDGETS, Budget
from enrich.manifest.kept_files import FileRule
from enrich.manifest.params import read_request_params
from enrich.manifest.publication import Publication
from enrich.manifest.reviews import REVIEWS_FOLDER
from enrich.manifest.settings import YamlSettings
from enrich.manifest.sources import read_attached, read_sources
from enrich.manifest.texts import read_text
from enrich.manifest.variables import read_variables

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.db.attached import AttachedDatabase
    from enrich.manifest.sources import Source

WORK_FOLDER = ".enrich"
"""The folder of working files: request files, result files, logs and what does not fit memory."""
PROJECT_FILE = "project.yml"
# DuckDB itself wants `v1.2.0`; YAML reads an unquoted 1.2 as a number.
STORAGE_VERSION = re.compile(r"v?(\d+)\.(\d+)(\.\d+)?")
PROJECT_KEYS = (
    "name",
    "warehouse",
    "ledger",
    "models",
    "seeds",
    "tests",
    "provider",
    "providers",
    "params",
    "max_attempts",
    "retry",
    "lock_timeout",
    "external_access",
    "memory_limit",
    "budget",
    "vars",
    "attach",
    "sources",
    "publish",
    "backup",
    "keep_files",
)
RETRYABLE_OUTCOMES = ("error", "expired", "missing", "invalid", "truncated", "refused")
# By default not `truncated`, which ends at the same limit again, nor `refused`: the llm would most
# likely answer the same, and be paid for it.
RETRIED_OUTCOMES = ("error", "expired", "missing", "invalid")


@dataclass(frozen=True, kw_only=True)
class Config:
    """What project.yml says, with defaults filled in and paths made absolute.

    `lock_timeout` is in seconds. `reach` lists the files and folders that SQL may read besides the
    project's own; None allows any. `memory_limit` is DuckDB's setting, "" for enrich's default.
    `retry` lists the outcomes after which a row is asked again, up to `max_attempts` times in all.
    `tests` are the folders of SQL tests. `variables` are for SQL and templates. `seed_options` say
    how the files of seeds are read. `storage` is the storage version of a new warehouse.
    `publication` says where tables are copied to, `backup` where the ledger is exported to after
    each run, and `keep_files` what becomes of the files of batches that have been read.
    """

    root: Path
    name: str
    warehouse: Path
    storage: str
    ledger: Path
    models: Path
    seeds: Path
    seed_options: Mapping[str, Mapping[str, Any]]
    tests: tuple[Path, ...]
    provider: str
    providers: Mapping[str, YamlSettings]
    params: Mapping[str, Any]
    max_attempts: int
    retry: tuple[str, ...]
    lock_timeout: float
    reach: tuple[Path, ...] | None
    memory_limit: str
    budget: Budget
    variables: Mapping[str, Any]
    attached: tuple[AttachedDatabase, ...]
    sources: tuple[Source, ...]
    publication: Publication | None
    backup: Backup | None
    keep_files: FileRule

    @property
    def work(self) -> Path:
        """The folder of working files."""
        return self.root / WORK_FOLDER

    def may_read(self, path: Path) -> bool:
        """Whether a model may read this file: it is in the project, or in what `reach` lists."""
        # Resolved, or a link in the project would open any file of the machine.
        found = path.resolve()
        inside = (self.root, *(self.reach or ()))
        return self.reach is None or any(found.is_relative_to(p.resolve()) for p in inside)

    @classmethod
    def from_folder(cls, root: Path) -> Config:
        """Reads project.yml in the folder `root`. Raises ProjectError, or DiskError if the file
        cannot be read."""
        root = root.absolute()
        path = root / PROJECT_FILE
        try:
            text = read_text(path, source=str(path))
        except DiskError as problem:
            if not isinstance(problem.__cause__, FileNotFoundError):
                raise
            hint = "go to a project's folder, name one with --project, or create one: enrich init"
            raise ProjectError(f"there is no {PROJECT_FILE} in {root}", hint=hint) from problem
        return cls.from_settings(
            root, YamlSettings.parse(text, source=PROJECT_FILE, error=ProjectError)
        )

    @classmethod
    def from_settings(cls, root: Path, settings: YamlSettings) -> Config:
        """Returns the configuration of the project in the folder `root`. Raises ProjectError."""
        settings.check_keys(PROJECT_KEYS)
        providers = _read_providers(settings)
        warehouse, storage = _read_warehouse(settings, root)
        ledger = _read_ledger(settings, root, warehouse)
        folder, options = _read_seeds(settings)
        reach = _read_reach(root, settings)
        tests = tuple(root / word for word in settings.read_words("tests", ("tests",)))
        models = root / settings.read_text("models", "models")
        own = (root / folder, *tests, root / REVIEWS_FOLDER, root / WORK_FOLDER)
        for path in (warehouse, ledger, models, *own):
            _check_link(root, path, reach)
        return cls(
            root=root,
            name=settings.read_text("name", root.resolve().name),
            warehouse=warehouse,
            storage=storage,
            ledger=ledger,
            models=models,
            seeds=root / folder,
            seed_options=options,
            tests=tests,
            provider=_read_default_provider(settings, providers),
            providers=providers,
            params=read_request_params(settings),
            max_attempts=settings.read_integer("max_attempts", 3) or 3,
            retry=read_outcomes(settings, RETRIED_OUTCOMES),
            lock_timeout=settings.read_number("lock_timeout", 60.0),
            reach=reach,
            memory_limit=settings.read_text("memory_limit"),
            budget=Budget.from_settings(settings, PROJECT_BUDGETS),
            variables=read_variables(settings),
            attached=read_attached(settings, open_access=reach is None),
            sources=read_sources(settings, root=root, open_access=reach is None),
            publication=Publication.from_settings(settings),
            backup=Backup.from_settings(settings, root),
            keep_files=FileRule.from_settings(settings),
        )


def _read_warehouse(settings: YamlSettings, root: Path) -> tuple[Path, str]:
    """Returns the path of the warehouse, and the storage version for a new one."""
    value = settings.values.get("warehouse")
    if not isinstance(value, dict):
        return root / settings.read_text("warehouse", "warehouse.duckdb"), DEFAULT_STORAGE
    known = ("path", "storage_version")
    for word in value:
        if word not in known:
            raise settings.make_error(
                "warehouse", f"has no '{word}'", hint=nearest(str(word), known)
            )
    said = str(value.get("storage_version") or DEFAULT_STORAGE)
    version = STORAGE_VERSION.fullmatch(said)
    if version is None and said != "latest":
        hint = f"name a version of DuckDB, such as {DEFAULT_STORAGE}, or latest"
        raise settings.make_error("warehouse", f"has no storage version '{said}'", hint=hint)
    storage = f"v{version[1]}.{version[2]}{version[3] or '.0'}" if version else said
    return root / str(value.get("path") or "warehouse.duckdb"), storage


def _read_ledger(settings: YamlSettings, root: Path, warehouse: Path) -> Path:
    """Returns the path of the ledger, which must not be the warehouse's."""
    ledger = root / settings.read_text("ledger", "ledger.duckdb")
    if warehouse.resolve() == ledger.resolve():
        hint = "the ledger records what was paid for, in a file of its own: ledger: ledger.duckdb"
        raise settings.make_error("warehouse", "is the same file as the ledger", hint=hint)
    return ledger


def _read_seeds(settings: YamlSettings) -> tuple[str, dict[str, dict[str, Any]]]:
    """Returns the folder of seeds, and the options of each seed that has any."""
    value = settings.values.get("seeds")
    if not isinstance(value, dict):
        return settings.read_text("seeds", "seeds"), {}
    for word in value:
        if word not in ("path", "tables"):
            raise settings.make_error(
                "seeds", f"has no '{word}'", hint=nearest(word, ("path", "tables"))
            )
    tables = value.get("tables") or {}
    if not isinstance(tables, dict) or not all(isinstance(each, dict) for each in tables.values()):
        hint = "seeds: {tables: {movies: {delim: ';', encoding: latin-1}}}"
        raise settings.make_error("seeds", "must list options by table under `tables`", hint=hint)
    options = {str(name): {str(k): v for k, v in each.items()} for name, each in tables.items()}
    return str(value.get("path") or "seeds"), options


def _read_reach(root: Path, settings: YamlSettings) -> tuple[Path, ...] | None:
    """Returns the files and folders that `external_access` lets SQL read; None for anything."""
    value = settings.values.get("external_access")
    if isinstance(value, bool):
        return None if value else ()
    words = settings.read_words("external_access")
    named = [settings.expand_home("external_access", word) for word in words]
    # DuckDB's `allowed_directories` take a path that does not exist without complaint, so a typing
    # error would only show when a model cannot read its file.
    for path in named:
        if not (root / path).exists():
            hint = "name existing files and folders, or set it to true to allow any"
            raise settings.make_error(
                "external_access", f"names '{path}', which is absent", hint=hint
            )
    return tuple(root / path for path in named)


def _check_link(root: Path, path: Path, reach: tuple[Path, ...] | None) -> None:
    """Refuses a link that leads out of the project, unless `external_access` lists its target.

    Following it would widen what SQL may open, and would write into files of somebody else. A path
    outside the project that project.yml spells out is fine. Raises ProjectError.
    """
    # `normpath` only removes `..`, unlike `resolve`, which would follow the link.
    if reach is None or not Path(os.path.normpath(path)).is_relative_to(root):
        return
    try:
        target = path.resolve()
        inside = any(target.is_relative_to(each.resolve()) for each in (root, *reach))
    except (OSError, RuntimeError) as problem:
        # Up to Python 3.12, links that lead to each other are a RuntimeError of `Path.resolve`.
        message = f"{path.relative_to(root)} is a link that cannot be followed"
        raise ProjectError(message, hint="check where the link leads") from problem
    if not inside:
        message = f"{path.relative_to(root)} is a link that leads out of the project, to {target}"
        hint = f"if that is intended, allow it in project.yml: external_access: [{target}]"
        raise ProjectError(message, hint=hint)


def _read_default_provider(settings: YamlSettings, providers: Mapping[str, Any]) -> str:
    """Returns the name of the provider of models that name none: the first, if none is set."""
    provider = settings.read_text("provider", next(iter(providers)))
    if provider not in providers:
        hint = nearest(provider, providers)
        raise settings.make_error("provider", f"names no provider: '{provider}'", hint=hint)
    return provider


def _read_providers(settings: YamlSettings) -> dict[str, YamlSettings]:
    """Returns the settings of each provider by name, not looked at any further."""
    # Each provider reads its own when it is opened. A `${NAME}` that is not set must not keep
    # commands from working that use another provider, or none.
    found = settings.read_mapping("providers") or {"local": {}}
    providers = {}
    for name, values in found.items():
        if values is not None and not isinstance(values, dict):
            hint = f"write {name}: {{}} to use the defaults"
            raise settings.make_error("providers", f"has no settings under '{name}'", hint=hint)
        providers[name] = YamlSettings(
            values=values or {},
            # Only the keys of the file's top level have lines, so an error in a provider's settings
            # names the line of `providers:`.
            lines=dict.fromkeys(values or {}, settings.lines.get("providers", 1)),
            source=settings.source,
            error=settings.error,
        )
    return providers


def read_outcomes(settings: YamlSettings, default: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the outcomes under `retry:` after which a row is asked again."""
    # `read_words` refuses an empty list, which is a mistake anywhere else. Here it has a meaning:
    # no row is asked again.
    if settings.values.get("retry") == []:
        return ()
    words = settings.read_words("retry", default)
    for word in words:
        if word not in RETRYABLE_OUTCOMES:
            raise settings.make_error(
                "retry", f"cannot contain '{word}'", hint=nearest(word, RETRYABLE_OUTCOMES)
            )
    return words
