"""The command: its verbs, and the one place where an error becomes a paragraph and an exit code.

Verbs import what they need when they run, so that `eutectic --help` stays fast.
"""

from __future__ import annotations

import sys

import typer

from eutectic.cli import chat, check, compare, corpus, demo, evaluate, init, merge, plan, report, run, status, verify, why
from eutectic.errors import EutecticError

app = typer.Typer(
    name="eutectic",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: drawing boxes would cost a third of the 150 ms that --help may take
    context_settings={"help_option_names": ["-h", "--help"]},
)
STUDY, TOOLS = "A study (the study file comes first; default ./study.yaml)", "One-off tools (folders and files)"
for panel, verbs in (
    (STUDY, (demo, init, check, plan, run, status, why, report, chat)),
    (TOOLS, (merge, evaluate, compare, corpus, verify)),
):
    for verb in verbs:
        app.command(verb.__name__.rpartition(".")[2], rich_help_panel=panel)(verb.command)


def say_version(asked: bool) -> None:
    """Print the version and stop."""
    if asked:
        from eutectic import __version__

        typer.echo(f"eutectic {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),  # read by `main`, anywhere on the line
    version: bool = typer.Option(False, "--version", callback=say_version, is_eager=True, help="Print the version and stop."),
) -> None:
    """From a folder of papers to a merged language model that knows the field, with proof of what each step bought."""


def main() -> None:
    """Run the command line; exit 0 done, 1 the work failed, 2 the request or its input was wrong."""
    debug = "--debug" in sys.argv[1:]
    arguments = [a for a in sys.argv[1:] if a != "--debug"]  # accepted anywhere on the line
    try:
        app(args=arguments)
    except EutecticError as error:
        if debug:
            raise
        sys.stderr.write(f"eutectic: {error}\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("eutectic: interrupted; finished steps are kept, and `eutectic run` goes on from here.\n")
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
