"""Outside: a DuckDB of its own, which copies tables to places outside the project.

It runs enrich's own statements only, on files that the other one has written: no SQL of the user's
ever reaches it. So it may load extensions and open connections, and the wall around the other one
(see `db.files`) needs no gate.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from enrich.db.attached import REMOTE_EXTENSIONS
from enrich.db.creation import make_folder
from enrich.db.database import LONG_LINE_MEMORY, Database
from enrich.db.extensions import load_extension
from enrich.db.quote import quote_text
from enrich.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from enrich.db.files import DatabaseFiles

SECRET_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_STORAGE_CONNECTION_STRING",
    "MOTHERDUCK_TOKEN",
    "motherduck_token",
    "PGPASSWORD",
)
"""Environment variables with what no message may show."""


@contextmanager
def open_outside(files: DatabaseFiles) -> Iterator[Database]:
    """Opens the other DuckDB for one step. Raises DatabaseError."""
    import duckdb

    settings: dict[str, str | bool | int | float | list[str]] = {
        "temp_directory": files.aliases.alias_folder(make_folder(files.work, "spill")),
        # Nothing is fetched from the network, nor loaded because a name happens to occur.
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "memory_limit": files.memory_limit or LONG_LINE_MEMORY,
    }
    with closing(duckdb.connect(":memory:", config=settings)) as connection:
        # What becomes text must be the same on every machine, as in the other one.
        connection.execute("SET TimeZone = 'UTC'")
        yield Database(connection=connection, verbose=files.verbose, aliases=files.aliases)


def prepare_storage(database: Database, url: str, environment: Mapping[str, str]) -> None:
    """Load what an object storage takes, with the keys that the environment or DuckDB's own secrets
    hold. Raises DatabaseError."""
    protocol = url.partition("://")[0].lower()
    load_extension(database, REMOTE_EXTENSIONS[protocol])
    kind = {"az": "azure", "abfss": "azure", "s3": "s3"}.get(protocol, "")
    options = _find_key(kind, environment)
    if options:
        _create_secret(database, kind, options)
        return
    query = "SELECT count(*) FROM duckdb_secrets() WHERE type = $kind"
    if kind and not database.fetch_one(query, kind=kind)[0]:
        _use_chain(database, kind)


def _find_key(kind: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the options of a secret, as the variables that everybody uses hold them."""
    if kind == "azure":
        said = environment.get("AZURE_STORAGE_CONNECTION_STRING", "")
        return {"CONNECTION_STRING": said} if said else {}
    if kind != "s3" or not environment.get("AWS_ACCESS_KEY_ID"):
        return {}
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION", "")
    found = {
        "KEY_ID": environment["AWS_ACCESS_KEY_ID"],
        "SECRET": environment.get("AWS_SECRET_ACCESS_KEY", ""),
        "SESSION_TOKEN": environment.get("AWS_SESSION_TOKEN", ""),
        "REGION": region or "us-east-1",
    }
    server = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL", "")
    if server:
        parts = urlsplit(server)
        found |= {"ENDPOINT": parts.netloc, "USE_SSL": str(parts.scheme == "https").lower()}
        found |= {"URL_STYLE": "path"}
    return {word: value for word, value in found.items() if value}


def _create_secret(database: Database, kind: str, options: Mapping[str, str]) -> None:
    said = "".join(f", {word} {quote_text(value)}" for word, value in options.items())
    try:
        # The comment is what `-v` shows.
        database.execute(f"-- The key of the object storage.\nCREATE SECRET (TYPE {kind}{said})")
    except DatabaseError:
        # `from None`: the statement, which the cause shows, holds the key.
        message = f"DuckDB does not accept the key of {kind} that the environment holds"
        raise DatabaseError(
            message, hint="check the variables, as docs/how-to/lakes.md lists them"
        ) from None


def _use_chain(database: Database, kind: str) -> None:
    """Let DuckDB look for a key where the storage's own tools do, if it has the extension."""
    try:
        load_extension(database, {"s3": "aws"}.get(kind, kind))
        database.execute(f"CREATE SECRET (TYPE {kind}, PROVIDER credential_chain)")
    except DatabaseError:
        return  # a bucket may be open to everybody
