"""`trimtab keys`: the keys of this user."""

from __future__ import annotations

import typer


def keys(
    new: str | None = typer.Option(None, "--new", help="Make a key of this name."),
) -> None:
    """List the public keys of this user, or make a key; set TRIMTAB_PASSPHRASE to keep it encrypted.

    Example: `trimtab keys --new alice`
    """
    from trimtab.cli.output import say, tell
    from trimtab.governance.keys import key_path, known_keys, new_key

    if new is not None:
        key = new_key(new)
        tell(str(key.public))
        say(
            f"kept in {key_path(new)}, for you only\nnext: give the line above to who writes the roles of a run"
        )
        return
    found = known_keys()
    for key in found:
        tell(str(key.public))
    if not found:
        say("no keys yet\nnext: trimtab keys --new NAME")
