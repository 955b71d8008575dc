"""The commands by name; a command's module is imported when it is called or its help is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

# name → (module, one line of help)
COMMANDS = {
    "run": ("run", "Run the whole loop: measure, make records, screen, train, trim, measure again, decide."),
    "init": ("init", "Write a commented trimtab.toml."),
    "screen": ("screen", "Check a dataset before you train on it: may I?"),
    "probe": ("probe", "Measure a model or the system of a run on your own suites."),
    "harden": ("make", "Make adversarial training records, and nothing else."),
    "debias": ("make", "Make bias mitigation records, and nothing else."),
    "reinforce": ("make", "Make value reinforcement records, and nothing else."),
    "train": ("train", "Train one adapter on a file of records."),
    "trim": ("trim", "Show a run's trade-off, or set its operating point."),
    "charter": ("charter", "Count what people voted for, and keep a charter of principles."),
    "drift": ("drift", "Train a model on its own output again and again, and watch what drifts."),
    "compare": ("compare", "Compare the figures of two runs."),
    "review": ("review", "Sign your decision on a run's release candidate."),
    "release": ("release", "Write a bundle that can be verified offline."),
    "export": ("export", "Write a system's adapters, at their strengths, as one for servers."),
    "verify": ("verify", "Check a bundle: files, ledger, signatures, quorum, every figure."),
    "card": ("card", "Merge a bundle's dataset card into a README that is there already."),
    "status": (
        "status",
        "Say what a workspace waits for: reviews, releases, what is due, what a recall reaches.",
    ),
    "trace": (
        "trace",
        "Walk from a behaviour, record, adapter or release to what it comes from and what came of it.",
    ),
    "recall": ("recall", "State that something must not be used, and name everything that descends from it."),
    "keys": ("keys", "List your keys, make one, replace or revoke one."),
    "ask": ("ask", "Put one prompt to a model or the system of a run."),
    "doctor": ("doctor", "Say what is installed, what is missing, and how to get it."),
}


class Lazy(TyperGroup):
    """A group that knows its commands by name and imports them late."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the commands in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"trimtab.cli.{COMMANDS[cmd_name][0]}")
        loader = typer.Typer(add_completion=False, rich_markup_mode=None)
        function = getattr(module, cmd_name)
        if isinstance(function, typer.Typer):  # a command with commands of its own
            loader = function
        else:
            loader.command(cmd_name)(function)
        command = typer.main.get_command(loader)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


app = typer.Typer(cls=Lazy, add_completion=False, no_args_is_help=True, rich_markup_mode=None)


def _version(value: bool) -> None:
    if value:
        from trimtab import __version__

        typer.echo(f"trimtab {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Govern synthetic training data for language models, and use it as the lever.

    The main command is `trimtab run`: without arguments it runs the whole loop on the embedded model.

    Example: `trimtab run --quick`, then `trimtab ask runs/RUN 'How do I get a wine stain out?'`
    """
