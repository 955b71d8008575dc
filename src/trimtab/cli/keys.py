"""`trimtab keys`: the keys of this user, and what a ledger says of them."""

from __future__ import annotations

from pathlib import Path

import typer

keys = typer.Typer(add_completion=False, rich_markup_mode=None)
WORKSPACE = typer.Option(Path("runs"), "--workspace", "-w", help="A folder of runs.")


@keys.callback(invoke_without_command=True)
def listed(context: typer.Context) -> None:
    """List the public keys of this user; set TRIMTAB_PASSPHRASE to keep new ones encrypted.

    Example: `trimtab keys`, `trimtab keys new alice`, `trimtab keys rotate alice --reason 'A year has passed.'`
    """
    if context.invoked_subcommand:
        return
    from trimtab.cli.output import say, tell
    from trimtab.governance.keys import known_keys

    found = known_keys()
    for key in found:
        tell(str(key.public))
    if not found:
        say("no keys yet\nnext: trimtab keys new NAME")


@keys.command()
def new(name: str = typer.Argument(help="Letters, digits, dots, dashes and underscores.")) -> None:
    """Make a key.

    Example: `trimtab keys new alice`
    """
    from trimtab.cli.output import say, tell
    from trimtab.governance.keys import key_path, new_key

    tell(str(new_key(name).public))
    say(f"kept in {key_path(name)}, for you only\nnext: give the line above to who writes the roles of a run")


@keys.command()
def rotate(
    name: str = typer.Argument(help="operator, ledger, or the name of a reviewer's key of yours."),
    reason: str = typer.Option(..., help="Why."),
    workspace: Path = WORKSPACE,
) -> None:
    """Replace a key in a ledger by a new one; both sign the entry, and what the old one signed still counts.

    Example: `trimtab keys rotate operator --reason 'A year has passed.' --workspace runs`
    """
    from trimtab.cli.output import say, tell
    from trimtab.governance.rotation import rotate as state

    index, key = state(workspace, name, reason)
    tell(f"entry {index}: {key}")
    say(f"next: give auditors the line ROLE {key}")


@keys.command()
def revoke(
    key: str = typer.Argument(help="A reviewer's key: its name, or the beginning of its id."),
    reason: str = typer.Option(..., help="Why."),
    workspace: Path = WORKSPACE,
) -> None:
    """State that a reviewer's key signs nothing more and its approvals do not count; its rejections still do.

    Example: `trimtab keys revoke alice --reason 'Her laptop was stolen.' --workspace runs`
    """
    from trimtab.cli.output import say, tell
    from trimtab.governance.recall import FILE
    from trimtab.governance.rotation import revoke as state

    tell(f"entry {state(workspace, key, reason)}: {key} is revoked")
    say(f"hand on {workspace / FILE}: bundles that were released before say so with verify --recalls")
    say(f"next: trimtab status {workspace}")


@keys.command()
def bundle() -> None:
    """Print the public key on P-256 that signs your bundles, in the form that model-signing reads.

    Example: `trimtab keys bundle > bundle.pub`
    """
    from trimtab.cli.output import say, tell
    from trimtab.governance.model_signature import public_key

    tell(public_key().rstrip())
    say("next: model_signing verify key BUNDLE --signature BUNDLE/model.sig --public_key bundle.pub")
