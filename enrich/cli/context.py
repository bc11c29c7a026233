"""What every command shares: the project it works on, and how it ends."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from enrich.cli.journal import Journal
from enrich.db.complaint import is_interrupted
from enrich.errors import EnrichError, OverBudget
from enrich.ledger.batch import list_unread
from enrich.manifest.config import WORK_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from enrich.ledger.state import State
    from enrich.project import Project
    from enrich.report import Screen
    from enrich.results import CommandResult

# Each model, batch or file is committed as soon as it is done, so what is true after Ctrl-C
# depends on the command; `run` and `status` have to look into the ledger for it.
AFTER_CTRL_C = {
    "seed": "seeds that have been loaded stay loaded",
    "cancel": "batches that were not reached keep running; enrich cancel stops them",
    "preview": "answers that came in are kept; the same again asks only for the others",
    "compare": "answers that came in are kept; the same again asks only for the others",
    "export": "no export was created",
    "import": "the ledger has not changed",
    "init": "files that have been created stay",
}
"""What Ctrl-C leaves behind, by command."""
NOTHING_CHANGED = "nothing was changed"
SENDING_COMMANDS = ("run", "status")
COMMAND_ALIASES = {"ls": "list", "build": "run"}
"""The names that dbt has for these commands."""

# 2 is click's own code for a wrong option, and 130 is what shells report for SIGINT (128 + 2).
EXIT_DONE, EXIT_ERROR, EXIT_NOT_OK, EXIT_IN_PROGRESS, EXIT_INTERRUPTED = 0, 1, 3, 4, 130


class Context:
    """The options that every command shares. It opens the project when a command needs one."""

    def __init__(self) -> None:
        self.project_dir: str | None = None
        self.lock_timeout: float | None = None
        self.verbose = False
        self.quiet = False
        self.variables: tuple[str, ...] = ()
        self.variables_yaml = ""
        self.results: dict[str, Any] = {}
        self.journal: Journal | None = None
        self.screen: Screen | None = None

    @property
    def folder(self) -> str:
        return _find_project(Path.cwd()) if self.project_dir is None else self.project_dir

    @contextmanager
    def open_project(self) -> Iterator[Project]:
        """Open the project; inside, an EnrichError is printed and ends the process.

        The exit code is 1, or 4 if a budget does not allow what the command would spend.
        """
        from enrich import report
        from enrich.manifest import variables
        from enrich.manifest.config import Config
        from enrich.project import Project

        command = str(click.get_current_context().info_name)
        self.journal = Journal(Path(self.folder) / WORK_FOLDER, command)
        self.screen = screen = report.Screen(quiet=self.quiet, note=self.journal.note)
        try:
            given = {}
            if self.variables or self.variables_yaml:
                known = Config.from_folder(Path(self.folder)).variables
                given = variables.parse_mapping(self.variables_yaml, known)
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
            screen.close()  # first, or live bars would be drawn over the error
            report.print_error(problem)
            self.journal.note(f"error: {problem.message} ({problem.hint})")
            self.results.setdefault("problems", []).append(problem.message)
            sys.exit(EXIT_IN_PROGRESS if isinstance(problem, OverBudget) else EXIT_ERROR)
        finally:
            screen.close()

    def print_states(
        self,
        result: CommandResult[State],
        project: Project,
        *,
        as_json: bool,
        unfold: bool = False,
    ) -> None:
        """Print the states of the models, and what to do next."""
        from enrich import report

        if self.screen is not None:
            self.screen.close()  # first, or live bars would be drawn over the table
        self.results = report.build_results(result, result.tests, result.problems)
        if as_json:
            report.print_states_json(result)
        elif result:
            report.print_states(result, unfold=unfold)
            report.print_next_steps(result, usual=project.config.provider)

    def report_unsaid(self, problems: Sequence[EnrichError]) -> None:
        """Print the problems that would have been reported while the command ran, if it was not
        told to print errors only."""
        from enrich import report

        for problem in problems if self.quiet else ():
            report.print_error(problem)

    def report_interrupt(self, command: str, stop: BaseException) -> None:
        """Say on stderr and in the log where Ctrl-C has stopped the command, and what it leaves."""
        command = self.journal.command if self.journal else command
        # If something slow was being read, its name is a note on the exception (PEP 678).
        where = "".join(f" in {note}" for note in getattr(stop, "__notes__", ())[:1])
        if command in SENDING_COMMANDS:
            left = _describe_interrupted_run(Path(self.folder))
        else:
            left = AFTER_CTRL_C.get(command, NOTHING_CHANGED)
        sentence = f"stopped{where}: {left}"
        sys.stderr.write(f"\n{sentence}\n")
        if self.journal is not None:
            self.journal.note(sentence)


class CommandGroup(click.Group):
    """The commands, some of them under dbt's names too; the journal records how each one ended."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, COMMAND_ALIASES.get(cmd_name, cmd_name))

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401  # whatever a command returns
        code = EXIT_ERROR
        try:
            result = super().invoke(ctx)
            code = EXIT_DONE
            return result
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else EXIT_ERROR
            raise
        except click.ClickException as problem:
            code = problem.exit_code
            raise
        except (KeyboardInterrupt, RuntimeError) as stop:
            # DuckDB turns Ctrl-C into a RuntimeError where it is called other than through `db`.
            if isinstance(stop, RuntimeError) and not is_interrupted(stop):
                raise
            code = EXIT_INTERRUPTED
            ctx.ensure_object(Context).report_interrupt(ctx.invoked_subcommand or "", stop)
            sys.exit(code)
        finally:
            # Here, because a command may end in any of these ways, and the log records all of them.
            context = ctx.find_object(Context)
            if context is not None and context.journal is not None:
                context.journal.close(code, context.results)


def _describe_interrupted_run(folder: Path) -> str:
    """Returns what Ctrl-C has left of a `run` or `status`, as the ledger has it."""
    from enrich.project import Project

    try:
        # Short, because whoever has pressed Ctrl-C is waiting.
        project = Project(folder, lock_timeout=1)
        with project.files.open_ledger("read") as database:
            unread_batches = [batch for batch in list_unread(database) if batch.run]
    except EnrichError:
        return "nothing is lost; enrich status shows what is under way"
    if any(batch.sent for batch in unread_batches):
        return (
            "submitted batches keep running, and nothing is lost\n\n"
            "hint: enrich status fetches their answers, enrich run waits for them again, "
            "enrich cancel stops them"
        )
    if unread_batches:
        return (
            "nothing has been sent, and what was planned is kept\n\n"
            "hint: enrich run or enrich status sends it, enrich cancel drops it"
        )
    return "nothing was sent, and nothing is lost"


def _find_project(folder: Path) -> str:
    """Returns the nearest folder with a project.yml, from this one upwards; "." without one."""
    for each in (folder, *folder.parents):
        if (each / "project.yml").is_file():
            return str(each)
    return "."


def finish_command(
    context: Context,
    result: CommandResult[State],
    project: Project,
    *,
    as_json: bool,
    unfold: bool = False,
) -> None:
    """Print the state of the models, and end the process with the exit code that fits it."""
    from enrich import report

    context.print_states(result, project, as_json=as_json, unfold=unfold)
    # By urgency: an error has to be fixed, batches in progress only need time, and rows that are
    # not ok are final. So a script that gets 4 can come back for the final code.
    for state in result:
        if state.failure and not state.busy:
            hint = (
                "fix it and start again; nothing in the failed batch has been run or will be billed"
            )
            report.print_error(
                EnrichError(f"{state.model}: a batch failed: {state.failure}", hint=hint)
            )
            sys.exit(EXIT_ERROR)
    if result.problems:  # already printed while the command was running
        sys.exit(EXIT_ERROR)
    if any(state.busy for state in result):
        sys.exit(EXIT_IN_PROGRESS)
    not_ok = any(
        state.failed or state.pending or state.held_back or state.stopped for state in result
    )
    if not_ok or any(test.verdict == "fail" for test in result.tests):
        sys.exit(EXIT_NOT_OK)
