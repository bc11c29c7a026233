"""Settings: a YAML mapping that is read strictly. Every error names the file and the line."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enrich.errors import EnrichError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import yaml

# Fits the INTEGER columns of the ledger (32 bits), and a float holds it exactly.
GREATEST_NUMBER = 2_000_000_000
ENVIRONMENT_VARIABLE = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True, kw_only=True)
class YamlSettings:
    """The values of a mapping, with their lines in the file `source`, counted from 1: `lines` has
    the line of each key, `starts` the first line of its value. `error` is the class of errors in
    this file."""

    values: Mapping[str, Any]
    lines: Mapping[str, int]
    source: str
    starts: Mapping[str, int] = field(default_factory=dict, repr=False)
    error: type[EnrichError] = field(default=EnrichError, repr=False)

    @classmethod
    def parse(
        cls, text: str, *, source: str, error: type[EnrichError], first_line: int = 1
    ) -> YamlSettings:
        """Reads `text`, which starts at `first_line` of the file `source`. Raises `error` unless it
        is YAML, a mapping, and has no key twice."""
        import yaml

        try:
            # Values lose their lines when they are loaded, and nodes have no values, so both are
            # read. ValueError is what PyYAML raises for a date such as 2024-13-01.
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            values = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError) as problem:
            mark = getattr(problem, "problem_mark", None)
            at = f":{mark.line + first_line}" if mark else ""
            what = getattr(problem, "problem", None) or "cannot be read"
            raise error(f"{source}{at}: this is not YAML: {what}", hint=QUOTING_HINT) from problem
        if node is None:
            return cls(values={}, lines={}, source=source, error=error)
        if not isinstance(node, yaml.MappingNode):
            message = f"{source}:{first_line}: expected settings"
            raise error(message, hint="write one `key: value` on each line")
        found = cls(
            values={str(key): value for key, value in values.items()},
            lines={},
            starts={},
            source=source,
            error=error,
        )
        lines, starts = found._find_lines(node, first_line)
        return replace(found, lines=lines, starts=starts)

    def _find_lines(
        self, node: yaml.MappingNode, first_line: int
    ) -> tuple[dict[str, int], dict[str, int]]:
        """Returns the lines of the keys of a mapping, and those on which their values start. Raises
        `error` for a key that occurs twice."""
        import yaml

        lines: dict[str, int] = {}
        starts: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + first_line
            # A merge key brings in keys of another mapping, which have lines of their own.
            if key.value == "<<":
                hint = "write the settings out"
                raise self.error(f"{self.source}:{line}: '<<' is not supported here", hint=hint)
            # PyYAML itself silently keeps the last of two values.
            if key.value in lines:
                message = f"{self.source}:{line}: duplicate key '{key.value}'"
                raise self.error(message, hint="keep one of them")
            lines[key.value] = line
            # The text of a block starts on the line after its `|`.
            block = isinstance(value, yaml.ScalarNode) and value.style in ("|", ">")
            starts[key.value] = value.start_mark.line + first_line + (1 if block else 0)
        return lines, starts

    def check_keys(self, keys: Iterable[str]) -> YamlSettings:
        """Raises `error` for any key that is not one of `keys`, with the nearest one as a hint;
        returns the settings."""
        names = list(keys)
        for key in self.values:
            if key not in names:
                raise self.make_error(key, "is not a setting here", hint=nearest(key, names))
        return self

    def make_error(self, key: str, what: str, *, hint: str) -> EnrichError:
        """Returns the error for a fault in `key`, with file and line."""
        at = f":{self.lines[key]}" if key in self.lines else ""
        return self.error(f"{self.source}{at}: '{key}' {what}", hint=hint)

    def read_text(self, key: str, default: str = "") -> str:
        """Returns a text; a number counts as one."""
        value = self.values.get(key)
        if value is None:
            return default
        # A name such as 2024 is a number in YAML, and nobody expects to quote it. `yes` and `off`
        # are booleans, whose text is no longer what was written.
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise self.make_error(key, "must be text", hint=f"{key}: some text")
        return str(value)

    def expand_home(self, key: str, text: str) -> Path:
        """Returns the path that is the value of `key`, in which `~` is somebody's home."""
        try:
            return Path(text).expanduser()
        except RuntimeError as problem:
            what = f"names a home folder that does not exist: {text}"
            raise self.make_error(key, what, hint="write the full path") from problem

    def read_integer(
        self,
        key: str,
        default: int | None = None,
        *,
        least: int = 1,
        most: int = GREATEST_NUMBER,
    ) -> int | None:
        """Returns a whole number between `least` and `most`."""
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            what = f"must be a whole number, {least} to {most}"
            raise self.make_error(key, what, hint=f"{key}: {max(3, least)}")
        return value

    def read_number(self, key: str, default: float, *, least: float = 0) -> float:
        """Returns a number of at least `least`."""
        value = self.values.get(key)
        if value is None:
            return default
        fits = isinstance(value, (int, float)) and least <= value <= GREATEST_NUMBER
        if isinstance(value, bool) or not fits:
            raise self.make_error(
                key, f"must be a number, {least:g} to {GREATEST_NUMBER}", hint=f"{key}: 1.5"
            )
        return float(value)

    def read_words(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Returns a list of texts; a single text counts as a list of one."""
        value = self.values.get(key)
        if value is None:
            return default
        items = value if isinstance(value, list) else [value]
        if not items or not all(isinstance(item, (str, int)) for item in items):
            raise self.make_error(
                key, "must be a name or a list of names", hint=f"{key}: [one, two]"
            )
        return tuple(str(item) for item in items)

    def read_choice(self, key: str, known: tuple[str, ...], default: str) -> str:
        """Returns one of the `known` texts."""
        value = self.read_text(key, default)
        if value not in known:
            raise self.make_error(key, f"cannot be '{value}'", hint=nearest(value, known))
        return value

    def read_mapping(self, key: str) -> dict[str, Any]:
        """Returns the mapping under `key`; an empty one if it is not set."""
        value = self.values.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            hint = f"write one `name: value` on each line, indented below `{key}:`"
            raise self.make_error(key, "must be a mapping", hint=hint)
        return {str(name): item for name, item in value.items()}

    def read_parameters(self, key: str) -> dict[str, Any]:
        """Returns the mapping under `key`, which must be plain JSON because it becomes part of
        requests unchanged."""
        import json

        values = self.read_mapping(key)
        try:
            json.dumps(values, allow_nan=False, ensure_ascii=False).encode()
        except (TypeError, ValueError, RecursionError) as problem:
            hint = "use numbers, text, true, false, lists and mappings; quote dates"
            what = "contains a value that JSON cannot express"
            raise self.make_error(key, what, hint=hint) from problem
        return values

    def expand(self, environment: Mapping[str, str]) -> YamlSettings:
        """Returns the settings with every `${NAME}` replaced by that environment variable."""
        # Without the white space around a value: a key that was read from a file often ends with a
        # newline, which HTTP cannot send in a header.

        def expand(key: str, value: Any) -> Any:  # noqa: ANN401  # any YAML value
            if isinstance(value, str):
                for name in ENVIRONMENT_VARIABLE.findall(value):
                    if name not in environment:
                        hint = f"set it before you start enrich: export {name}=..."
                        raise self.make_error(
                            key, f"needs the environment variable {name}", hint=hint
                        )
                return ENVIRONMENT_VARIABLE.sub(lambda match: environment[match[1]].strip(), value)
            if isinstance(value, dict):
                return {name: expand(key, item) for name, item in value.items()}
            if isinstance(value, list):
                return [expand(key, item) for item in value]
            return value

        values = {key: expand(key, value) for key, value in self.values.items()}
        return YamlSettings(values=values, lines=self.lines, source=self.source, error=self.error)


QUOTING_HINT = (
    "text that contains `: ` or ` #`, or starts with a bracket, needs quotes; indent with spaces"
)
