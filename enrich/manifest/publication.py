"""Publications: where else a model's table is copied to, as its files or project.yml say."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, cast, get_args

from enrich.errors import ModelError, nearest
from enrich.manifest.settings import YamlSettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

CopyFormat = Literal["parquet", "csv", "json"]
PUBLISH_KEYS = ("to", "format", "partition_by")
PUBLISH_HINT = "publish: {to: exports/films, format: parquet, partition_by: [year]}"
COPY_FILE = re.compile(r"\.(parquet|csv|json)$", re.IGNORECASE)
"""How a path ends that is one file; any other is a folder."""


@dataclass(frozen=True, kw_only=True)
class Publication:
    """What `publish:` says. `to` is a path, a URL, or an attached database, with a table or without
    one. That of project.yml holds a place for each model."""

    to: str
    format: CopyFormat = "parquet"
    partition_by: tuple[str, ...] = ()

    @classmethod
    def from_settings(cls, settings: YamlSettings) -> Publication | None:
        """Returns what `publish:` says; None if it is not set. Raises the settings' error."""
        value = settings.values.get("publish")
        if value is None or value is False:
            return None
        said = {str(word): each for word, each in _read_known(settings, value).items()}
        inner = replace(settings, values=said, lines={})
        to = said.get("to")
        if not isinstance(to, str) or not to:
            raise settings.make_error("publish", "must say where to", hint=PUBLISH_HINT)
        ending = COPY_FILE.search(to)
        form = str(said.get("format") or (ending[1].lower() if ending else "parquet"))
        if form not in get_args(CopyFormat):
            hint = nearest(form, get_args(CopyFormat))
            raise settings.make_error("publish", f"has no format '{form}'", hint=hint)
        columns = inner.read_words("partition_by")
        if len({name.lower() for name in columns}) < len(columns):
            what = "names a column twice in partition_by"
            raise settings.make_error("publish", what, hint="keep one of them")
        if columns and (ending or form == "json"):
            what = "can divide Parquet and CSV among the folders of a folder, nothing else"
            raise settings.make_error("publish", what, hint=PUBLISH_HINT)
        return cls(to=to, format=cast("CopyFormat", form), partition_by=columns)

    @classmethod
    def from_comment(cls, text: str, *, source: str) -> Publication | None:
        """Returns what the comment `-- publish: ...` of a SQL file says; None for "". Raises
        ModelError."""
        settings = YamlSettings.parse(f"publish: {text}", source=source, error=ModelError)
        return cls.from_settings(replace(settings, lines={}))


def _read_known(settings: YamlSettings, value: Any) -> Mapping[Any, Any]:  # noqa: ANN401  # YAML
    """Returns the mapping under `publish:`; a text alone is the place."""
    said = value if isinstance(value, dict) else {"to": value}
    for word in said:
        if word not in PUBLISH_KEYS:
            hint = nearest(str(word), PUBLISH_KEYS)
            raise settings.make_error("publish", f"has no setting '{word}'", hint=hint)
    return said
