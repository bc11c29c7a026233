"""Options that several commands take."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from enrich.cli import completing
from enrich.cli.context import Context

if TYPE_CHECKING:
    from collections.abc import Callable


C = TypeVar("C", bound="Callable[..., Any] | click.Command")


def common_options(command: C, *, hidden: bool = False) -> C:
    """Options that stand before a command or after it."""
    for words, more in (
        (["-q", "--quiet"], {"is_flag": True, "help": "Say only what went wrong."}),
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
                "envvar": None if hidden else "ENRICH_PROJECT",
                "metavar": "DIR",
                "shell_complete": completing.folders,
                "help": "The project's folder; by itself the one around the current folder.",
            },
        ),
    ):
        click.option(*words, callback=_keep, expose_value=False, hidden=hidden, **more)(command)
    return command


def _keep(context: click.Context, option: click.Parameter, value: object) -> None:
    """What is given after a command stands over what was given before it."""
    if value is not None and value is not False:  # 0 seconds are given, too
        setattr(context.ensure_object(Context), str(option.name), value)


def _set_variables(context: click.Context, _: click.Parameter, words: tuple[str, ...]) -> None:
    context.obj.variables += words


def _set_mapping(context: click.Context, _: click.Parameter, text: str | None) -> None:
    context.obj.mapping = text or ""


def var_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Values of variables, for whatever reads models."""
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
        shell_complete=completing.variables,
        expose_value=False,
        help="Override a variable from project.yml. May be repeated.",
    )(command)


def select_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Which models a command means: as arguments, or in dbt's way by --select."""

    @wraps(command)
    def selecting(
        *given: Any,  # noqa: ANN401  # whatever the command takes
        names: tuple[str, ...],
        select: tuple[str, ...],
        **more: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        return command(*given, names=(*names, *select), **more)

    made: Callable[..., Any] = selecting
    for option in (
        click.option(
            "--exclude",
            multiple=True,
            metavar="MODEL",
            shell_complete=completing.terms,
            help="Models to exclude.",
        ),
        click.option(
            "-s",
            "--select",
            multiple=True,
            metavar="MODEL",
            shell_complete=completing.terms,
            help="Models to select.",
        ),
        var_option,
        click.argument("names", nargs=-1, metavar="[MODEL]...", shell_complete=completing.terms),
    ):
        made = option(made)
    return made


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")(
        command
    )


def order_options(command: Callable[..., Any]) -> Callable[..., Any]:
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
        provider_option,
        select_options,
    ):
        command = option(command)
    return command


def provider_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Who answers."""
    return click.option(
        "--provider",
        metavar="NAME",
        shell_complete=completing.providers,
        help="Provider to use instead of the default.",
    )(command)


def sample_options(rows: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Which rows of a model are asked, and how many; `rows` if nobody says."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in (
            click.option(
                "--where",
                default="",
                metavar="SQL",
                help="Which rows: a condition on their columns.",
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


def columns_given(_: click.Context, __: click.Parameter, words: tuple[str, ...]) -> dict[str, str]:
    """`OUTPUT=LABEL`, as often as given."""
    found = {}
    for word in words:
        name, equals, label = word.partition("=")
        if not (name and equals and label):
            raise click.BadParameter(f"'{word}' is not OUTPUT=LABEL: categories=Genre")
        found[name] = label
    return found
