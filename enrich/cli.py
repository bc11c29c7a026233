"""The command line: options in, one Project call, report out, exit code.

Exit codes are promises: 0 done; 1 an error; 2 a wrong option; 3 done, but some rows are not ok, or
a test failed; 4 batches are still in progress.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from enrich.errors import EnrichError, OverBudget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from enrich.cost import By
    from enrich.project import Project
    from enrich.state import State

LEFT = (
    "left: what was submitted goes on, and nothing is lost\n\n"
    "hint: enrich status fetches and shows it, enrich run waits for it again, "
    "enrich cancel stops it"
)
LEFT_NOW = (
    "left: answers that came in are kept, and nothing is lost\n\n"
    "hint: the same again shows them, and asks only for the others"
)
DONE, ERROR, NOT_OK, IN_PROGRESS = 0, 1, 3, 4


class Context:
    """The options that every command shares; opens the project when a command needs it."""

    def __init__(self, folder: str, lock_timeout: float | None, verbose: bool) -> None:
        self.folder = folder
        self.lock_timeout = lock_timeout
        self.verbose = verbose
        self.variables: tuple[str, ...] = ()

    @contextmanager
    def project(self, *, left: str = LEFT) -> Iterator[Project]:
        """The project, with errors told as people want them; `left` is said after Ctrl-C."""
        from enrich import report, variables
        from enrich.config import Config
        from enrich.project import Project

        screen = report.Screen()
        try:
            given = {}
            if self.variables:
                known = Config.from_folder(Path(self.folder)).variables
                given = variables.given(self.variables, known)
            project = Project(
                self.folder,
                lock_timeout=self.lock_timeout,
                verbose=self.verbose,
                talk=screen,
                variables=given,
            )
            os.chdir(project.config.root)  # paths in SQL begin at the project
            yield project
        except EnrichError as problem:
            screen.close()
            report.error(problem)
            sys.exit(IN_PROGRESS if isinstance(problem, OverBudget) else ERROR)
        except KeyboardInterrupt:
            screen.close()
            sys.stderr.write(f"\n{left}\n")
            sys.exit(IN_PROGRESS)
        finally:
            screen.close()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96})
@click.version_option(package_name="enrich", prog_name="enrich")
@click.option("--project", "folder", default=".", metavar="DIR", help="The project's folder.")
@click.option(
    "--lock-timeout",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long to wait for another process to close the warehouse.",
)
@click.option(
    "-v", "--verbose", is_flag=True, help="Show each SQL statement, its rows and seconds."
)
@click.pass_context
def main(context: click.Context, folder: str, lock_timeout: float | None, verbose: bool) -> None:
    """A SELECT and a prompt become a DuckDB table.

    \b
    Example:
      enrich init films && cd films
      enrich run
      enrich status
    """
    context.obj = Context(folder, lock_timeout, verbose)


def _finish(
    found: Sequence[State], project: Project, *, as_json: bool, unfold: bool = False
) -> None:
    """Show where the models stand, and end with the exit code that says so."""
    from enrich import report

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
    if any(state.busy for state in found):
        sys.exit(IN_PROGRESS)
    not_ok = any(
        state.failed or state.outcomes.get("pending") or state.held_back for state in found
    )
    if not_ok or any(result.verdict == "fail" for result in project.results):
        sys.exit(NOT_OK)


def _set_variables(context: click.Context, _: click.Parameter, words: tuple[str, ...]) -> None:
    context.obj.variables = words


def _var_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Values of variables, for whatever reads models."""
    return click.option(
        "--var",
        multiple=True,
        metavar="NAME=VALUE",
        callback=_set_variables,
        expose_value=False,
        help="Another value for a variable of project.yml. May be repeated.",
    )(command)


def _select_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Which models a command means."""
    for option in (
        click.option(
            "--exclude", multiple=True, metavar="MODEL", help="Not these. May be repeated."
        ),
        _var_option,
        click.argument("names", nargs=-1, metavar="[MODEL]..."),
    ):
        command = option(command)
    return command


def _json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")(
        command
    )


@main.command()
@click.argument("folder", default=".")
@click.pass_obj
def init(_: Context, folder: str) -> None:
    """Make a new project in FOLDER: settings, a seed, a model and its prompt.

    \b
    Example:
      enrich init films && cd films && enrich run
    """
    from enrich import report, scaffold

    try:
        made = scaffold.create(folder)
    except EnrichError as problem:
        report.error(problem)
        sys.exit(ERROR)
    for path in made:
        sys.stderr.write(f"made {path}\n")
    go = "" if folder == "." else f"  cd {folder}\n"
    sys.stderr.write(f"\nnext:\n{go}  enrich plan\n  enrich run\n")


@main.command()
@click.argument("names", nargs=-1, metavar="[SEED]...")
@click.pass_obj
def seed(context: Context, names: tuple[str, ...]) -> None:
    """Load the files of seeds/ (CSV, Parquet, JSONL) as tables; unchanged ones are left alone.

    \b
    Example:
      enrich seed movies
    """
    with context.project() as project:
        if not project.seed(*names):
            sys.stderr.write("every seed is loaded already\n")


@main.command("compile")
@click.argument("name", metavar="MODEL")
@click.option("--provider", metavar="NAME", help="Another provider of project.yml.")
@_var_option
@_json_option
@click.pass_obj
def compile_(context: Context, name: str, provider: str | None, as_json: bool) -> None:
    """Print what MODEL becomes: its SQL, the JSON Schema and the first request. Sends nothing.

    \b
    Example:
      enrich compile movies_categories
    """
    import json

    with context.project() as project:
        found = project.compile(name, provider=provider)
    if as_json:
        sys.stdout.write(json.dumps(found, ensure_ascii=False) + "\n")
        return
    for title, value in found.items():
        text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
        sys.stdout.write(f"-- {title}\n{text}\n\n")


def _order_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What `plan` and `run` take alike."""
    for option in (
        click.option(
            "--max-cost",
            type=click.FloatRange(min=0),
            metavar="USD",
            help="The budget of this run, instead of project.yml's.",
        ),
        click.option("--full-refresh", is_flag=True, help="Ask every row, answered or not."),
        click.option("--retry", is_flag=True, help="Ask rows again that failed in earlier runs."),
        click.option("--provider", metavar="NAME", help="Another provider of project.yml."),
        _select_options,
    ):
        command = option(command)
    return command


@main.command()
@_order_options
@_json_option
@click.pass_obj
def plan(
    context: Context,
    names: tuple[str, ...],
    exclude: tuple[str, ...],
    provider: str | None,
    retry: bool,
    full_refresh: bool,
    max_cost: float | None,
    as_json: bool,
) -> None:
    """Show what `run` would ask, why, and what it would cost. Nothing is sent or spent.

    \b
    Example:
      enrich plan movies_categories
      enrich plan --provider openai
    """
    from enrich import report

    with context.project() as project:
        found = project.plan(
            *names,
            provider=provider,
            retry=retry,
            full_refresh=full_refresh,
            max_cost=max_cost,
            exclude=exclude,
        )
    (report.plans_json if as_json else report.plans)(found)


@main.command()
@click.argument("name", metavar="MODEL")
@click.option(
    "-n", "limit", type=click.IntRange(1, 1000), default=5, show_default=True, help="How many rows."
)
@click.option(
    "--where", default="", metavar="SQL", help="Which rows: a condition on their columns."
)
@click.option("--provider", metavar="NAME", help="Another provider of project.yml.")
@_var_option
@_json_option
@click.pass_obj
def preview(
    context: Context, name: str, limit: int, where: str, provider: str | None, as_json: bool
) -> None:
    """Answer a few rows of MODEL now, one request at a time, and show them beside their answers.

    They cost what single requests cost, often twice a batch's price. The answers are kept: no later
    run asks for them again.

    \b
    Example:
      enrich preview movies_categories -n 3
      enrich preview movies_categories --where "year < 1950"
    """
    from enrich import report

    with context.project(left=LEFT_NOW) as project:
        found = project.preview(name, limit=limit, where=where, provider=provider)
    if as_json:
        report.preview_json(found)
    else:
        report.preview(found, usual=project.config.provider)
    if any(row.outcome != "ok" for row in found.rows):
        sys.exit(NOT_OK)


@main.command()
@click.argument("name", metavar="MODEL")
@click.option(
    "-n",
    "limit",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    help="How many rows.",
)
@click.option(
    "--where", default="", metavar="SQL", help="Which rows: a condition on their columns."
)
@click.option("--llm", default="", metavar="NAME", help="Another llm, for the same prompt.")
@click.option("--provider", metavar="NAME", help="Another provider of project.yml.")
@_var_option
@_json_option
@click.pass_obj
def compare(
    context: Context,
    name: str,
    limit: int,
    where: str,
    llm: str,
    provider: str | None,
    as_json: bool,
) -> None:
    """Compare the working prompt of MODEL with what is published, on a sample of its rows.

    With --llm, two llms are compared that are asked the same. The sample is the same each time;
    what is asked is kept, and no run pays for it again.

    \b
    Example:
      enrich compare movies_categories -n 50
      enrich compare movies_categories --llm gpt-4o --provider openai
    """
    from enrich import report

    with context.project(left=LEFT_NOW) as project:
        found = project.compare(name, limit=limit, where=where, llm=llm, provider=provider)
    (report.comparison_json if as_json else report.comparison)(found)


def _columns(_: click.Context, __: click.Parameter, words: tuple[str, ...]) -> dict[str, str]:
    """`OUTPUT=LABEL`, as often as given."""
    found = {}
    for word in words:
        name, equals, label = word.partition("=")
        if not (name and equals and label):
            raise click.BadParameter(f"'{word}' is not OUTPUT=LABEL: categories=Genre")
        found[name] = label
    return found


@main.command()
@click.argument("name", metavar="MODEL")
@click.option("--labels", required=True, metavar="TABLE", help="A table with the key and labels.")
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="OUTPUT=LABEL",
    callback=_columns,
    help="What an output column's label is called, where not the same. May be repeated.",
)
@_var_option
@_json_option
@click.pass_obj
def evaluate(
    context: Context, name: str, labels: str, columns: dict[str, str], as_json: bool
) -> None:
    """Score the published columns of MODEL against a labelled table or seed.

    ENUMs, booleans and lists of labels get accuracy, precision, recall and F1; texts exact and
    normalized matches; other types accuracy. Figures are kept by version of the prompt, in the
    table enrich.evaluations.

    \b
    Example:
      enrich evaluate movies_categories --labels movies_labels
      enrich evaluate movies_categories --labels imdb --column categories=Genre
    """
    from enrich import report

    with context.project() as project:
        found = project.evaluate(name, labels, columns=columns)
    (report.evaluation_json if as_json else report.evaluation)(found)


@main.command()
@_order_options
@click.option("--detach", is_flag=True, help="Return after submitting; `enrich status` goes on.")
@_json_option
@click.pass_obj
def run(
    context: Context,
    names: tuple[str, ...],
    exclude: tuple[str, ...],
    provider: str | None,
    detach: bool,
    retry: bool,
    full_refresh: bool,
    max_cost: float | None,
    as_json: bool,
) -> None:
    """Run the named models, or all: ask what is new, wait for the answers, publish the tables.

    Rows that are answered already are not asked again. Ctrl-C is safe at any time.

    \b
    Example:
      enrich run movies_categories
      enrich run --provider openai --detach
    """
    with context.project() as project:
        found = project.run(
            *names,
            provider=provider,
            detach=detach,
            retry=retry,
            full_refresh=full_refresh,
            max_cost=max_cost,
            exclude=exclude,
        )
    _finish(found, project, as_json=as_json)


@main.command()
@click.option("--batches", "unfold", is_flag=True, help="Show each batch that is under way.")
@_json_option
@click.pass_obj
def status(context: Context, unfold: bool, as_json: bool) -> None:
    """Fetch and publish what has ended, and show where every model stands.

    \b
    Example:
      enrich status
    """
    with context.project() as project:
        found = project.status()
    if not found and not as_json:
        sys.stderr.write("nothing was run yet\n\nhint: enrich run\n")
    _finish(found, project, as_json=as_json, unfold=unfold)


@main.command()
@click.argument("name", metavar="MODEL")
@click.option(
    "--key",
    "key",
    multiple=True,
    required=True,
    metavar="VALUE",
    help="The row's key; once for each of its columns.",
)
@_json_option
@click.pass_obj
def history(context: Context, name: str, key: tuple[str, ...], as_json: bool) -> None:
    """Show the life of one row: what it asked, what came back, and when each answer held (UTC).

    \b
    Example:
      enrich history movies_categories --key 12
    """
    from enrich import report

    with context.project() as project:
        found = project.history(name, *key)
    (report.rows_json if as_json else report.history)(found)


@main.command()
@click.argument("name", metavar="MODEL")
@click.option(
    "-n", "limit", type=click.IntRange(1), default=20, show_default=True, help="How many rows."
)
@click.option("--retry", is_flag=True, help="Ask them again, and wait for the answers.")
@click.option("--provider", metavar="NAME", help="With --retry: another provider of project.yml.")
@click.option("--detach", is_flag=True, help="With --retry: return after submitting.")
@_var_option
@_json_option
@click.pass_obj
def failures(
    context: Context,
    name: str,
    limit: int,
    retry: bool,
    provider: str | None,
    detach: bool,
    as_json: bool,
) -> None:
    """Show the rows of MODEL that are not ok: outcome, reason, key, input and the raw answer.

    \b
    Example:
      enrich failures movies_categories
      enrich failures movies_categories --retry
    """
    from enrich import report

    with context.project() as project:
        if retry:
            states = project.run(name, provider=provider, retry=True, detach=detach)
            _finish(states, project, as_json=as_json)
            return
        found = project.failures(name, limit=limit)
    (report.failures_json if as_json else report.failures)(name, found)
    if len(found):
        sys.exit(NOT_OK)


@main.command("list")
@_select_options
@_json_option
@click.pass_obj
def list_(
    context: Context, names: tuple[str, ...], exclude: tuple[str, ...], as_json: bool
) -> None:
    """List the models that are meant, in the order they run; all, where none is named.

    A model is meant by its name, by a pattern (movies_*), by tag:WORD, or by a file or folder;
    +MODEL means what it depends on, too, and MODEL+ what depends on it.

    \b
    Example:
      enrich list
      enrich list +movies_by_category --exclude tag:slow
    """
    from enrich import report

    with context.project() as project:
        found = project.graph.select(names, exclude)
        (report.models_json if as_json else report.models)(found, project.graph)


@main.command()
@_select_options
@click.option("--mermaid", is_flag=True, help="As a Mermaid diagram, for Markdown.")
@click.pass_obj
def graph(
    context: Context, names: tuple[str, ...], exclude: tuple[str, ...], mermaid: bool
) -> None:
    """Draw which model reads which, from the seeds and sources down.

    \b
    Example:
      enrich graph
      enrich graph movies_categories+ --mermaid
    """
    from enrich import report

    with context.project() as project:
        found = project.graph.select(names, exclude)
        (report.mermaid if mermaid else report.graph)(found, project.graph)


@main.command("test")
@_select_options
@click.option("--show", is_flag=True, help="Show the first rows that each test found.")
@_json_option
@click.pass_obj
def test_(
    context: Context,
    names: tuple[str, ...],
    exclude: tuple[str, ...],
    show: bool,
    as_json: bool,
) -> None:
    """Test the named models, or all, as they would be published now. Nothing is asked or published.

    The rows that a test found stand in the schema enrich_tests, to be looked at and joined.

    \b
    Example:
      enrich test movies_categories --show
    """
    from enrich import report

    with context.project() as project:
        found = project.test(*names, exclude=exclude)
        rows = {each.table: project.failing(each) for each in found if show and each.table}
    if as_json:
        report.tests_json(found)
    else:
        report.tests(found, rows)
    if any(result.verdict == "fail" for result in found):
        sys.exit(NOT_OK)


@main.command()
@click.option("--provider", metavar="NAME", help="Another provider of project.yml.")
@_var_option
@_json_option
@click.pass_obj
def debug(context: Context, provider: str | None, as_json: bool) -> None:
    """Check versions, files, locks, models and keys, and whether providers are reached.

    Nothing is sent but the question whether an llm is there.

    \b
    Example:
      enrich debug --provider openai
    """
    from enrich import report
    from enrich.debug import versions

    found = [*versions()]
    try:
        with context.project() as project:
            found += project.debug(provider=provider)
    finally:
        (report.findings_json if as_json else report.findings)(found)
    if any(each.verdict == "fail" for each in found):
        sys.exit(ERROR)


@main.command()
@click.argument("names", nargs=-1, metavar="[MODEL]...")
@click.option("--forget", is_flag=True, help="Wait no more for batches that cannot be stopped.")
@click.pass_obj
def cancel(context: Context, names: tuple[str, ...], forget: bool) -> None:
    """Stop the batches of the named models, or all. Answers that came in are kept.

    With --forget, a batch that its provider does not know any more, or that cannot be reached, is
    given up: its rows may be asked again, and answers it still gets are lost.

    \b
    Example:
      enrich cancel movies_categories
    """
    with context.project() as project:
        stopped = project.cancel(*names, forget=forget)
    for batch in stopped:
        sys.stderr.write(f"{batch.batch}: {batch.status}\n")
    if not stopped:
        sys.stderr.write("no batch is under way\n")


@main.command()
@click.option(
    "--by",
    type=click.Choice(["model", "llm", "prompt", "day", "batch"]),
    default="model",
    show_default=True,
    help="What to add up by; a prompt is a version of a model.",
)
@_json_option
@click.pass_obj
def cost(context: Context, by: By, as_json: bool) -> None:
    """Show what was spent, in tokens and USD. The same is in the table enrich.costs.

    \b
    Example:
      enrich cost --by day
      enrich sql "SELECT model, sum(cost) FROM enrich.costs GROUP BY model"
    """
    from enrich import report

    with context.project() as project:
        found = project.cost(by)
    if as_json:
        report.rows_json(found)
    elif found.rows:
        report.costs(found)
    else:
        sys.stderr.write("nothing was spent yet\n\nhint: enrich plan shows what a run would cost\n")


@main.command()
@click.argument("query")
@_var_option
@_json_option
@click.pass_obj
def sql(context: Context, query: str, as_json: bool) -> None:
    """Run QUERY on the warehouse, with the ledger attached as `ledger`.

    \b
    Example:
      enrich sql "SELECT * FROM movies JOIN movies_categories USING (movie_id) LIMIT 5"
    """
    from enrich import report

    with context.project() as project:
        found = project.sql(query)
    (report.rows_json if as_json else report.rows)(found)


def _faults(_: click.Context, __: click.Parameter, words: tuple[str, ...]) -> dict[str, float]:
    """`NAME=SHARE`, as often as given."""
    from dataclasses import fields

    from enrich.errors import nearest
    from enrich.rehearsal import Faults

    names = [field.name for field in fields(Faults)]
    found: dict[str, float] = {}
    for word in words:
        name, share = [*word.split("=", 1), ""][:2]
        if name not in names:
            raise click.BadParameter(f"there is no fault '{name}': {nearest(name, names)}")
        try:
            found[name] = float(share)
        except ValueError as problem:
            what = f"'{word}' needs a share from 0 to 1: {name}=0.1"
            raise click.BadParameter(what) from problem
    return found


@main.command()
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="NAME=SHARE",
    callback=_faults,
    help="What goes wrong, and how often: the reference lists the names. May be repeated.",
)
@click.option("--seed", default=0, show_default=True, help="The same seed, the same faults.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8765,
    show_default=True,
    help="Where to listen; 0: anywhere.",
)
@click.option(
    "--latency",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long a batch stays in each state; without it, until it is polled.",
)
@click.option(
    "--enqueued-tokens", type=click.IntRange(min=1), help="How much may be under way at once."
)
@_json_option
@click.pass_obj
def rehearse(
    _: Context,
    faults: dict[str, float],
    seed: int,
    port: int,
    latency: float | None,
    enqueued_tokens: int | None,
    as_json: bool,
) -> None:
    """Play the Batch API on this machine, with faults to order, until Ctrl-C; then show the bill.

    Run a copy of your project against it before you spend: it answers every request with values
    that fit its schema, and counts what would be billed.

    \b
    Example:
      enrich rehearse --fault http_500=0.1 --fault batch_expired=0.2
      OPENAI_BASE_URL=http://127.0.0.1:8765/v1 OPENAI_API_KEY=any enrich run --provider openai
    """
    from enrich import report
    from enrich.rehearsal import Faults, Rehearsal

    try:
        chosen = Faults(**faults)
    except ValueError as problem:
        raise click.UsageError(str(problem)) from problem
    server = Rehearsal(
        faults=chosen, seed=seed, port=port, latency=latency, enqueued_tokens=enqueued_tokens
    )
    try:
        with server:
            sys.stderr.write(
                f"the Batch API is played at {server.base_url} until Ctrl-C\n\n"
                f"in another terminal, in a copy of your project:\n"
                f"  OPENAI_BASE_URL={server.base_url} OPENAI_API_KEY=any "
                "enrich run --provider openai\n"
            )
            sys.stderr.flush()
            server.serve()
    except EnrichError as problem:
        report.error(problem)
        sys.exit(ERROR)
    except KeyboardInterrupt:
        sys.stderr.write("\n")
    (report.bill_json if as_json else report.bill)(server)
