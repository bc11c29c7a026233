"""Settings: a YAML mapping read strictly. Every refusal names the file and the line."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from enrich.errors import EnrichError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

GREATEST_NUMBER = 2_000_000_000
ENVIRONMENT_VARIABLE = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True, kw_only=True)
class YamlSettings:
    """The values of a mapping, and where they stand, counted from 1: `lines` has the line of a key,
    `starts` that of the first line of its value."""

    values: Mapping[str, Any]
    lines: Mapping[str, int]
    source: str
    starts: Mapping[str, int] = field(default_factory=dict, repr=False)
    error: type[EnrichError] = field(default=EnrichError, repr=False)

    @classmethod
    def parse(
        cls, text: str, *, source: str, error: type[EnrichError], first_line: int = 1
    ) -> YamlSettings:
        """Read `text`, which starts at `first_line` of the file `source`; refuse what is not YAML,
        not a mapping, or says a key twice."""
        import yaml

        try:
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
            raise error(message, hint="write one `key: value` a line")
        lines: dict[str, int] = {}
        starts: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + first_line
            if key.value == "<<":
                hint = "write the settings out"
                raise error(f"{source}:{line}: '<<' is not taken here", hint=hint)
            if key.value in lines:
                raise error(
                    f"{source}:{line}: duplicate key '{key.value}'", hint="keep one of them"
                )
            lines[key.value] = line
            block = isinstance(value, yaml.ScalarNode) and value.style in ("|", ">")
            starts[key.value] = value.start_mark.line + first_line + (1 if block else 0)
        return cls(
            values={str(key): value for key, value in values.items()},
            lines=lines,
            starts=starts,
            source=source,
            error=error,
        )

    def check_keys(self, keys: Iterable[str]) -> YamlSettings:
        """Refuse any key that is not one of `keys`, offering the nearest."""
        names = list(keys)
        for key in self.values:
            if key not in names:
                raise self.make_error(key, "is not a setting here", hint=nearest(key, names))
        return self

    def make_error(self, key: str, what: str, *, hint: str) -> EnrichError:
        """The error that `key` is wrong, with file and line."""
        at = f":{self.lines[key]}" if key in self.lines else ""
        return self.error(f"{self.source}{at}: '{key}' {what}", hint=hint)

    def read_text(self, key: str, default: str = "") -> str:
        value = self.values.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise self.make_error(key, "must be text", hint=f"{key}: some text")
        return str(value)

    def read_integer(self, key: str, default: int | None = None, *, least: int = 1) -> int | None:
        value = self.values.get(key)
        if value is None:
            return default
        if (
            not isinstance(value, int)
            or isinstance(value, bool)
            or not least <= value <= GREATEST_NUMBER
        ):
            what = f"must be a whole number, {least} to {GREATEST_NUMBER}"
            raise self.make_error(key, what, hint=f"{key}: 3")
        return value

    def read_number(self, key: str, default: float) -> float:
        value = self.values.get(key)
        if value is None:
            return default
        fits = isinstance(value, (int, float)) and 0 <= value <= GREATEST_NUMBER
        if isinstance(value, bool) or not fits:
            raise self.make_error(
                key, f"must be a number, 0 to {GREATEST_NUMBER}", hint=f"{key}: 1.5"
            )
        return float(value)

    def read_words(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """One text or a list of them."""
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
        value = self.read_text(key, default)
        if value not in known:
            raise self.make_error(key, f"cannot be '{value}'", hint=nearest(value, known))
        return value

    def read_mapping(self, key: str) -> dict[str, Any]:
        value = self.values.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            hint = f"one `name: value` a line, indented below `{key}:`"
            raise self.make_error(key, "must hold settings", hint=hint)
        return {str(name): item for name, item in value.items()}

    def read_parameters(self, key: str) -> dict[str, Any]:
        """The mapping under `key`, which must be plain JSON: it goes into requests as it is."""
        import json

        values = self.read_mapping(key)
        try:
            json.dumps(values, allow_nan=False, ensure_ascii=False).encode()
        except (TypeError, ValueError, RecursionError) as problem:
            hint = "use numbers, text, true, false, lists and mappings; quote dates"
            raise self.make_error(key, "holds what JSON cannot say", hint=hint) from problem
        return values

    def expand(self, environment: Mapping[str, str]) -> YamlSettings:
        """The same settings with `${NAME}` replaced by environment variables, without the white
        space around these: files and shells add a newline."""

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


QUOTING_HINT = "text that holds `: `, `#` or starts with a bracket needs quotes; indent with spaces"
