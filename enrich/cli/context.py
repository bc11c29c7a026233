"""What every command shares: the project it works on, and how it ends."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from enrich.cli.journal import Journal
from enrich.errors import EnrichError, OverBudget
from enrich.ledger.batch import PREVIEW_REMOTE, list_unread
from enrich.manifest.config import WORK_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enrich.ledger.state import State
    from enrich.project import Project
    from enrich.results import CommandResult

STOPPED = {
    "seed": "seeds that have been loaded stay loaded",
    "cancel": "batches that were not reached keep running; enrich cancel stops them",
    "preview": "answers that came in are kept; the same again asks only for the others",
    "compare": "answers that came in are kept; the same again asks only for the others",
    "export": "no export was made",
    "import": "the ledger is as it was",
    "init": "files that were made stay",
}
"""What is true of a command that Ctrl-C stopped, unless it changes nothing: see also `_sent`."""
UNCHANGED = "nothing was changed"
SENDING = ("run", "status")
ALIASES = {"ls": "list", "build": "run"}
"""dbt's words for commands."""

DONE, ERROR, NOT_OK, IN_PROGRESS, INTERRUPTED = 0, 1, 3, 4, 130


class Context:
    """The options that every command shares; opens the project when a command needs it."""

    def __init__(self) -> None:
        self.project_dir: str | None = None
        self.lock_timeout: float | None = None
        self.verbose = False
        self.quiet = False
        self.variables: tuple[str, ...] = ()
        self.mapping = ""
        self.found: dict[str, Any] = {}
        self.journal: Journal | None = None

    @property
    def folder(self) -> str:
        return _around(Path.cwd()) if self.project_dir is None else self.project_dir

    @contextmanager
    def project(self) -> Iterator[Project]:
        """The project, with errors told as people want them."""
        from enrich import report
        from enrich.manifest import variables
        from enrich.manifest.config import Config
        from enrich.project import Project

        command = str(click.get_current_context().info_name)
        self.journal = Journal(Path(self.folder) / WORK_FOLDER, command)
        screen = report.Screen(quiet=self.quiet, note=self.journal.note)
        try:
            given = {}
            if self.variables or self.mapping:
                known = Config.from_folder(Path(self.folder)).variables
                given = variables.parse_mapping(self.mapping, known)
                given |= variables.parse_assignments(self.variables, known)
            project = Project(
                self.folder,
                lock_timeout=self.lock_timeout,
                verbose=self.verbose,
                talk=screen,
                variables=given,
            )
            yield project
        except EnrichError as problem:
            screen.close()
            report.error(problem)
            self.journal.note(f"error: {problem.message} ({problem.hint})")
            self.found.setdefault("problems", []).append(problem.message)
            sys.exit(IN_PROGRESS if isinstance(problem, OverBudget) else ERROR)
        finally:
            screen.close()

    def interrupted(self, command: str, stop: KeyboardInterrupt) -> None:
        """Say what is true after Ctrl-C."""
        command = self.journal.command if self.journal else command
        where = "".join(f" in {note}" for note in getattr(stop, "__notes__", ())[:1])
        true = _sent(Path(self.folder)) if command in SENDING else STOPPED.get(command, UNCHANGED)
        sentence = f"stopped{where}: {true}"
        sys.stderr.write(f"\n{sentence}\n")
        if self.journal is not None:
            self.journal.note(sentence)


class Commands(click.Group):
    """The commands, some of them also by dbt's words; the journal hears how each ended."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, ALIASES.get(cmd_name, cmd_name))

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401  # whatever a command gives
        code = ERROR
        try:
            result = super().invoke(ctx)
            code = DONE
            return result
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else ERROR
            raise
        except click.ClickException as problem:
            code = problem.exit_code
            raise
        except KeyboardInterrupt as stop:
            code = INTERRUPTED
            ctx.ensure_object(Context).interrupted(ctx.invoked_subcommand or "", stop)
            sys.exit(code)
        finally:
            context = ctx.find_object(Context)
            if context is not None and context.journal is not None:
                context.journal.close(code, context.found)


def _sent(folder: Path) -> str:
    """What is true of a run, or its status, that Ctrl-C stopped: as the ledger has it."""
    from enrich.project import Project

    try:
        project = Project(folder, lock_timeout=1)
        with project.files.open_ledger("read") as database:
            left = [batch for batch in list_unread(database) if batch.remote != PREVIEW_REMOTE]
    except EnrichError:
        return "nothing is lost; enrich status shows what is under way"
    if any(batch.sent for batch in left):
        return (
            "submitted batches keep running, and nothing is lost\n\n"
            "hint: enrich status fetches their answers, enrich run waits for them again, "
            "enrich cancel stops them"
        )
    if left:
        return (
            "nothing has been sent, and what was planned is kept\n\n"
            "hint: enrich run or enrich status sends it, enrich cancel drops it"
        )
    return "nothing was sent, and nothing is lost"


def _around(folder: Path) -> str:
    """The nearest folder with a project.yml, from this one upwards; "." where there is none."""
    for each in (folder, *folder.parents):
        if (each / "project.yml").is_file():
            return str(each)
    return "."


def finish(
    context: Context,
    found: CommandResult[State],
    project: Project,
    *,
    as_json: bool,
    unfold: bool = False,
) -> None:
    """Show where the models stand, and end with the exit code that says so."""
    from enrich import report

    context.found = report.results(found, found.tests, found.problems)

    if as_json:
        report.states_json(found)
    elif found:
        report.states(found, unfold=unfold)
        report.closing(found, usual=project.config.provider)
    for state in found:
        if state.failure and not state.busy:
            hint = "mend it and start again; nothing of the failed batch was run or will be billed"
            report.error(EnrichError(f"{state.model}: a batch failed: {state.failure}", hint=hint))
            sys.exit(ERROR)
    if found.problems:  # they were told
        sys.exit(ERROR)
    if any(state.busy for state in found):
        sys.exit(IN_PROGRESS)
    not_ok = any(
        state.failed or state.pending or state.held_back or state.stopped for state in found
    )
    if not_ok or any(result.verdict == "fail" for result in found.tests):
        sys.exit(NOT_OK)
