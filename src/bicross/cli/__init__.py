"""The command line: parses, calls one public function, prints."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from bicross.cli import bench, demo, distill, evaluate, export, gap, index, info, mcp, probe, search, serve, train
from bicross.cli.common import show_warnings_plainly
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
app.command("evaluate")(evaluate.evaluate)
app.command("probe")(probe.probe)
app.command("gap")(gap.gap)
app.command("export")(export.export)
app.command("serve")(serve.serve)
app.command("demo")(demo.demo)
app.command("bench")(bench.bench)
app.command("mcp")(mcp.mcp)
app.command("distill")(distill.distill)
app.command("train-reranker")(train.train_reranker)

INTERRUPTED = 130


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options of every command."""
    del debug  # taken out of the command line by main


def main() -> None:
    """Run a command. Exit codes: 0 done, 1 an error with its message, 2 a wrong command line, 130 interrupted."""
    # Also behind the command, where people type it.
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    show_warnings_plainly()
    try:
        app(arguments)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            sys.stderr.write("Interrupted. What was acknowledged is there; run the same command again to go on.\n")
        raise
    except Exception as error:
        if debug:
            raise
        # What the file system refuses, such as a full disk under an output, is nobody's mistake in here.
        kind = "Error" if isinstance(error, BicrossError | OSError) else f"Internal error: {type(error).__name__}"
        sys.stderr.write(f"{kind}: {error}\n")
        sys.exit(1)
