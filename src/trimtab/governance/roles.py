"""Roles: who must review a release, how many of them, with which keys, and for how long a review holds."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from trimtab.errors import ConfigError, InputError, Problem
from trimtab.governance.ledger.envelope import Statement
from trimtab.governance.ledger.note import PublicKey, parse_key
from trimtab.records.toml import parse_toml

LONGEST = 3650  # days for which a review may hold
_OWN = ("operator", "ledger", "witness")


def _key(text: str) -> str:
    try:
        parse_key(text, text[:80])
    except InputError as error:
        raise ValueError(error.problems[0].message) from error
    return text


def _free(name: str) -> str:
    if name in _OWN:
        raise ValueError("is a role of the ledger itself")
    return name


class Role(BaseModel):
    """A role: `quorum` approvals by different keys of `keys`, each of which holds for `days`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$"), AfterValidator(_free)]
    quorum: int = Field(default=1, ge=1, le=100, strict=True)
    days: int = Field(default=180, ge=1, le=LONGEST, strict=True)
    keys: tuple[Annotated[str, AfterValidator(_key)], ...] = Field(min_length=1)
    questions: tuple[str, ...] = ()

    @property
    def public(self) -> tuple[PublicKey, ...]:
        """The keys that hold the role."""
        return tuple(parse_key(k, self.name) for k in self.keys)


def check_roles(roles: Sequence[Role], own: Iterable[PublicKey], gone: Container[str] = ()) -> None:
    """Raise ConfigError where a key holds two roles, is the operator's or gone, or a quorum cannot be reached.

    `gone` has the ids of keys that were replaced or revoked.
    """
    held: dict[bytes, str] = {key.raw: "the operator" for key in own}
    problems = []
    if len({role.name for role in roles}) < len(roles):
        problems.append(Problem("roles.twice", "roles", "two roles have one name", "Give each its own."))
    for role in roles:
        for key in role.public:
            if key.raw in held:
                what, fix = f"its key is held by {held[key.raw]} too", "Give each role keys of its own."
                problems.append(Problem("roles.key-twice", f"role {role.name}, {key.name}", what, fix))
            if key.id in gone:
                what, fix = "its key was replaced or revoked", "Name the key that its holder uses now."
                problems.append(Problem("roles.key-gone", f"role {role.name}, {key.name}", what, fix))
            held[key.raw] = role.name
        if role.quorum > len(role.keys):
            what = f"a quorum of {role.quorum} with {len(role.keys)} keys"
            problems.append(Problem("roles.quorum", f"role {role.name}", what, "Name more keys."))
    if problems:
        raise ConfigError(problems)


def read_roles(path: Path) -> tuple[Role, ...]:
    """Read `[[role]]` tables; raises ConfigError with all problems."""
    try:
        table = parse_toml(path.read_bytes(), place=str(path), area="roles")
    except OSError as error:
        fix = "Name a TOML file in UTF-8."
        raise ConfigError(Problem("roles.unreadable", str(path), str(error), fix)) from error
    rows = table.get("role")
    if set(table) != {"role"} or not isinstance(rows, list) or not rows:
        fix = "Write one [[role]] table for each role."
        raise ConfigError(Problem("roles.none", str(path), "holds no roles, or other keys beside them", fix))
    roles, problems = [], []
    for number, row in enumerate(rows, start=1):
        try:
            roles.append(Role.model_validate(row))
        except ValidationError as error:
            fix = "A role has name, quorum, days, keys and questions; see docs/evidence.md."
            for e in error.errors():
                place = f"{path}, role {number}, {'.'.join(map(str, e['loc']))}"
                problems.append(Problem("roles.value", place, e["msg"].removeprefix("Value error, "), fix))
    if problems:
        raise ConfigError(problems)
    check_roles(roles, ())
    return tuple(roles)


def roles_statement(roles: Sequence[Role], run: str, *, demo: bool = False) -> Statement:
    """Return the statement that fixes the roles of a run."""
    rows = [role.model_dump(mode="json") for role in roles]
    return Statement("roles", {}, {"demo": demo, "roles": rows, "run": run})
