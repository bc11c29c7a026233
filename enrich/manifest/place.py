"""Places: the file and the line in which a setting of a model is to be changed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from enrich.errors import EnrichError
from enrich.manifest.config import PROJECT_FILE
from enrich.manifest.prompt import read_front_matter
from enrich.manifest.settings import YamlSettings

if TYPE_CHECKING:
    from enrich.manifest.config import Config
    from enrich.manifest.prompt import Prompt


def find_place(prompt: Prompt, config: Config, setting: str, *, provider: str = "") -> str:
    """Returns where a parameter, or a key of the prompt or of its provider, is set, as FILE:LINE;
    the prompt's file if it is set nowhere."""
    if setting in config.params and setting not in prompt.params:
        return _find_in_project(config, "params", setting)
    if setting == "service_tier" and setting not in prompt.params:
        return _find_in_project(config, "providers", provider, setting)
    path = ("params", setting) if setting in prompt.params else (setting,)
    settings = read_front_matter(prompt.text, source=prompt.source)
    return _name_line(prompt.source, find_line(prompt.text, settings, *path))


def _find_in_project(config: Config, *path: str) -> str:
    try:
        text = (config.root / PROJECT_FILE).read_text(encoding="utf-8-sig")
        settings = YamlSettings.parse(text, source=PROJECT_FILE, error=EnrichError)
    except (OSError, UnicodeDecodeError, EnrichError):  # it has been changed meanwhile
        return PROJECT_FILE
    return _name_line(PROJECT_FILE, find_line(text, settings, *path))


def _name_line(source: str, line: int | None) -> str:
    return f"{source}:{line}" if line else source


def find_line(text: str, settings: YamlSettings, *path: str) -> int | None:
    """Returns the line of a nested key in the text of a file with these settings, counted from 1;
    None if its outermost key is not there."""
    line = settings.lines.get(path[0])
    if line is None:
        return None
    lines = text.replace("\r\n", "\n").split("\n")
    end = min((other for other in settings.lines.values() if other > line), default=len(lines) + 1)
    for key in path[1:]:
        named = re.compile(rf"""(?:^|[\s{{,"']){re.escape(key)}["']?\s*:""")
        found = (n for n in range(line, end) if named.search(lines[n - 1]))
        line = next(found, line)
    return line
