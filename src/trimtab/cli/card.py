"""`trimtab card`: a bundle's dataset card in a README that is there already."""

from __future__ import annotations

from pathlib import Path

import typer


def card(
    bundle: Path = typer.Argument(help="A bundle."),
    readme: Path = typer.Argument(help="The README.md of your dataset; made where there is none."),
    check: bool = typer.Option(
        False, "--check", help="Change nothing: say whether its card is the bundle's."
    ),
) -> None:
    """Merge a bundle's dataset card into a README: your words and metadata stay, the card has a section of its own.

    The bundle is verified first, at the level recomputed.

    Example: `trimtab card bundle my-dataset/README.md`

    Exit code: 0 merged, or the same; 1 the bundle does not hold, or with --check another card; 2 input.
    """
    from trimtab.cli.output import say, tell
    from trimtab.errors import EXIT_FAIL, InputError, Problem
    from trimtab.governance.exports.merge import differs, merge
    from trimtab.governance.verify.verify import verify
    from trimtab.records.write import write_bytes

    report = verify(bundle)
    if report.failures:
        for finding in report.failures:
            tell(str(finding))
        raise typer.Exit(EXIT_FAIL)
    ours = (bundle / "README.md").read_text(encoding="utf-8")
    try:
        theirs = readme.read_bytes().decode() if readme.exists() or check else ""
    except (OSError, ValueError) as error:
        fix = "Name a text file in UTF-8."
        raise InputError(
            Problem("card.unreadable", str(readme), f"cannot be read ({error!s:.80})", fix)
        ) from error
    if check:
        wrong = differs(theirs, ours, str(readme))
        tell(f"{readme}: {wrong} [card.differs]" if wrong else f"{readme}: its card is the bundle's")
        raise typer.Exit(EXIT_FAIL if wrong else 0)
    merged = merge(theirs, ours, str(readme))
    write_bytes(readme, merged.text.encode())
    tell(f"{readme}: the card is in it")
    for key in merged.kept:
        say(f"{key} in its metadata is yours, and not the card's")
    say(f"next: fill in what the card says a person must; then trimtab card {bundle} {readme} --check")
