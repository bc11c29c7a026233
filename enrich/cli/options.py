"""Options that several commands take."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

import click

from enrich.cli import completing
from enrich.cli.context import Context
from enrich.report.safe import ONLY_ERRORS

if TYPE_CHECKING:
    from collections.abc import Callable


CommandT = TypeVar("CommandT", bound="Callable[..., Any] | click.Command")


def common_options(command: CommandT, *, hidden: bool = False) -> CommandT:
    """Add the options that may come before a command or after it."""
    for words, more in (
        (["-q", "--quiet"], {"is_flag": True, "help": "Print only errors."}),
        (
            ["-v", "--verbose"],
            {"is_flag": True, "help": "Show each SQL statement, its rows and seconds."},
        ),
        (
            ["--lock-timeout"],
            {
                "type": click.FloatRange(min=0),
                "metavar": "SECONDS",
                "help": "How long to wait for another process to close the warehouse.",
            },
        ),
        (
            ["--project", "project_dir"],
            {
                # The hidden copy runs last, and the variable would override what was given before.
                "envvar": None if hidden else "ENRICH_PROJECT",
                "metavar": "DIR",
                "shell_complete": completing.complete_folders,
                "help": "The project's folder, instead of the one around the current folder.",
            },
        ),
    ):
        click.option(*words, callback=_store_option, expose_value=False, hidden=hidden, **more)(
            command
        )
    return command


def _store_option(context: click.Context, option: click.Parameter, value: object) -> None:
    """Set an option on the context. One given after the command overrides one before it."""
    # The hidden copies, which follow the command's name, leave what was given before it.
    if option.name == "quiet" and (value or not getattr(option, "hidden", False)):
        ONLY_ERRORS.set(bool(value))
    if value is not None and value is not False:  # not falsy: a lock timeout of 0 is a value
        setattr(context.ensure_object(Context), str(option.name), value)


def _set_variables(context: click.Context, _: click.Parameter, words: tuple[str, ...]) -> None:
    context.obj.variables += words


def _set_mapping(context: click.Context, _: click.Parameter, text: str | None) -> None:
    context.obj.variables_yaml = text or ""


def var_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that set variables, for commands that read models."""
    command = click.option(
        "--vars",
        metavar="YAML",
        callback=_set_mapping,
        expose_value=False,
        help="Override variables from project.yml: '{year: 1990}'.",
    )(command)
    return click.option(
        "--var",
        multiple=True,
        metavar="NAME=VALUE",
        callback=_set_variables,
        shell_complete=completing.complete_variables,
        expose_value=False,
        help="Override a variable from project.yml. May be repeated.",
    )(command)


def select_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the models that a command selects: as arguments, or by --select as in dbt."""

    # `wraps` also copies `__click_params__`, the options that click has collected so far.
    @wraps(command)
    def run_selected(
        *given: Any,  # noqa: ANN401  # whatever the command takes
        names: tuple[str, ...],
        select: tuple[str, ...],
        **more: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        return command(*given, names=(*names, *select), **more)

    wrapped: Callable[..., Any] = run_selected
    # As with stacked decorators, the last one comes first in `--help`.
    for option in (
        click.option(
            "--exclude",
            multiple=True,
            metavar="MODEL",
            shell_complete=completing.complete_terms,
            help="Models to exclude.",
        ),
        click.option(
            "-s",
            "--select",
            multiple=True,
            metavar="MODEL",
            shell_complete=completing.complete_terms,
            help="Models to select.",
        ),
        var_option,
        click.argument(
            "names", nargs=-1, metavar="[MODEL]...", shell_complete=completing.complete_terms
        ),
    ):
        wrapped = option(wrapped)
    return wrapped


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")(
        command
    )


class RunArguments(TypedDict):
    """What `plan` and `run` have in common, so that a plan can show what such a run would do."""

    exclude: tuple[str, ...]
    provider: str | None
    retry: bool
    full_refresh: bool
    where: str | None
    since: str | None
    max_cost: float | None
    by: datetime | None


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of `RunArguments` and the selection of models."""
    for option in (
        click.option(
            "--max-cost",
            type=click.FloatRange(min=0),
            metavar="USD",
            help="The budget for this run, instead of the one in project.yml.",
        ),
        click.option(
            "--since",
            metavar="VALUE",
            help="Only the partitions from this one on; needs partition_by in the prompt.",
        ),
        click.option(
            "--where",
            metavar="SQL",
            help="Only the partitions for which this condition on their column is true.",
        ),
        click.option("--full-refresh", is_flag=True, help="Ask about every row, answered or not."),
        click.option("--retry", is_flag=True, help="Ask again about rows that have failed."),
        click.option(
            "--by",
            metavar="TIME",
            callback=parse_time,
            help="Answer what is left at TIME (18:00, or a date and time) at once.",
        ),
        now_option,
        provider_option,
        select_options,
    ):
        command = option(command)
    return command


def now_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --now, which becomes a part of the provider's name."""

    @wraps(command)
    def run_with_name(*words: Any, now: bool, provider: str | None, **named: Any) -> Any:  # noqa: ANN401  # whatever the command takes
        name = f"{provider or ''}:now" if now else provider
        return command(*words, provider=name, **named)

    option = click.option(
        "--now",
        is_flag=True,
        help="Answer at once through chat, at its price, instead of the Batch API.",
    )
    return option(run_with_name)


def provider_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option that picks the provider."""
    return click.option(
        "--provider",
        metavar="NAME",
        callback=refuse_empty,
        shell_complete=completing.complete_providers,
        help="Provider to use instead of the default.",
    )(command)


def sample_options(rows: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options that pick the rows to ask and how many; by default `rows`."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in (
            click.option(
                "--where",
                default="",
                metavar="SQL",
                help="A condition on the rows' columns.",
            ),
            click.option(
                "-n",
                "limit",
                type=click.IntRange(1, 1000),
                default=rows,
                show_default=True,
                help="How many rows.",
            ),
        ):
            command = option(command)
        return command

    return decorate


def refuse_empty(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    """Returns the text of an option. Raises BadParameter for an empty one: it comes from a variable
    without a value, which must not stand for the default."""
    if text is not None and not text.strip():
        raise click.BadParameter("it is empty")
    return text


def parse_time(_: click.Context, __: click.Parameter, text: str | None) -> datetime | None:
    """Returns the next moment of a time of day, or the moment of an ISO date and time, both of
    which are local unless they say otherwise. Raises BadParameter for what is neither, or past."""
    if text is None:
        return None
    now = datetime.now().astimezone()
    try:
        moment = datetime.combine(now.date(), time.fromisoformat(text)).astimezone()
        return moment if moment > now else moment + timedelta(days=1)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text).astimezone()
    except ValueError as problem:
        raise click.BadParameter(f"'{text}' is not a time, such as 18:00") from problem
    if moment <= now:
        raise click.BadParameter(f"{text} is in the past")
    return moment


def parse_columns(_: click.Context, __: click.Parameter, words: tuple[str, ...]) -> dict[str, str]:
    """Returns the label of each output column. Raises BadParameter for what is not OUTPUT=LABEL."""
    labels = {}
    for word in words:
        name, equals, label = word.partition("=")
        if not (name and equals and label):
            raise click.BadParameter(f"'{word}' is not OUTPUT=LABEL, such as categories=Genre")
        labels[name] = label
    return labels
