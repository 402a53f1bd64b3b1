"""The command line: parses, calls one public function, prints."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from bicross.cli import index, info, search, train
from bicross.errors import BicrossError

app = typer.Typer(
    name="bicross",
    help="Two-stage dense retrieval: a bi-encoder finds, a cross-encoder reorders.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("index")(index.index)
app.command("search")(search.search)
app.command("info")(info.info)
app.command("train-reranker")(train.train_reranker)

INTERRUPTED = 130


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options of every command."""
    _State.debug = debug


class _State:
    debug = False


def main() -> None:
    """Run a command. Exit codes: 0 done, 1 an error with its message, 2 a wrong command line, 130 interrupted."""
    try:
        app()
    except BicrossError as error:
        if _State.debug:
            raise
        sys.stderr.write(f"Error: {error}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted. What was acknowledged is there; run the same command again to go on.\n")
        sys.exit(INTERRUPTED)
