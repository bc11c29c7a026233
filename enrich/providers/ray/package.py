"""The package: the part of enrich that runs on the nodes, which therefore need not have it."""

from __future__ import annotations

import hashlib
import io
import zipfile
from functools import cache
from pathlib import Path

import enrich

SENT_PARTS = ("__init__.py", "errors.py", "manifest", "pricing", "providers")
"""What the actors import stands on these floors."""
SAME_TIME = (1980, 1, 1, 0, 0, 0)
"""The same files make the same package."""


@cache
def pack_enrich() -> tuple[str, bytes]:
    """Returns the name of the package, which tells its content, and the package."""
    root = Path(enrich.__file__).parent
    found = [each for part in SENT_PARTS for each in _list_modules(root / part)]
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(found):
            name = zipfile.ZipInfo(f"enrich/{path.relative_to(root).as_posix()}", SAME_TIME)
            name.external_attr = 0o644 << 16
            archive.writestr(name, path.read_bytes(), zipfile.ZIP_DEFLATED)
    digest = hashlib.sha256(content.getvalue()).hexdigest()[:24]
    return f"_ray_pkg_enrich_{digest}.zip", content.getvalue()


def _list_modules(path: Path) -> list[Path]:
    return [path] if path.is_file() else list(path.rglob("*.py"))
