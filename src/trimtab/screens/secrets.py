"""Secrets and personal data: keys, addresses, numbers (numbers.py), and names that stand with a title."""

from __future__ import annotations

import re
from collections.abc import Iterator

from trimtab.records.shapes import short
from trimtab.screens.batch import Batch, matching, matching_each, open_ended
from trimtab.screens.numbers import is_account, is_number, is_phone
from trimtab.screens.patterns import read_patterns
from trimtab.screens.screen import Hits, RowScreen

_SHOWN = 4  # characters
_LEAST_DIGITS, _LEAST_LENGTH = 4, 16  # of a value that has neither signs nor letters of both cases
# What stands in documentation where a key belongs, and what names one instead of being it.
_STANDS_FOR_ONE = re.compile(r"(?i)example|your|placeholder|change_?me|dummy|x{5,}|\*{3,}")
_NAME = re.compile(r"(?i)secret|p[a@](?:ss|\$\$)w|(?:^|[_-])(?:key|token)(?:$|[_-])|^\$")
_ALGORITHM = re.compile(r"(?i)pbkdf2|sha\d+|md5|base64|b64|utf8|oauth2|[har]s(?:256|384|512)|aes\d*")
_CODE = re.compile(r"[(\[]|\.[A-Za-z_]")
_USUAL_WORD = re.compile(
    r"(?i)(?:(?:your|my|the|db|user|admin|root)?[_-]?(?:password|passwd|passphrase|secret|pwd|pass)|postgres|guest|example)\d{0,4}\Z"
)
_PAGE = re.compile(r"://[^\s/?#]*\Z")
_FILLED_IN = re.compile(r"[<>{}\[\]]|^\$|%\(|%s")


class Secrets(RowScreen):
    """What should not be learned by heart."""

    codes = (
        "secrets.key", "personal.email", "personal.phone", "personal.card", "personal.number", "personal.name",
    )  # fmt: skip

    def __init__(self) -> None:
        known = read_patterns("secrets")
        self._personal = {f"personal.{name}": known[name] for name in ("email", "phone", "card")}
        self._personal |= {f"personal.{name}": "|".join(known[name]) for name in ("number", "name")}
        self._key = open_ended("|".join([*known["key"], known["named"], known["address"]]))
        self._token, self._named, self._address = (
            re.compile(pattern, re.ASCII)
            for pattern in ("|".join(known["key"]), known["named"], known["address"])
        )
        self._domains = tuple(known["example_domains"])
        self._nowhere, self._nobody = re.compile(known["nowhere"]), re.compile(known["nobody"])
        self._counts = {
            "personal.email": self._is_address,
            "personal.phone": is_phone,
            "personal.card": is_account,
            "personal.number": is_number,
        }

    def hits(self, batch: Batch) -> Hits:
        """Return the rows with each; what is reserved for examples, and what only looks like one, does not count."""
        found = matching_each(batch.column, self._personal)
        found["secrets.key"] = [i for i in matching(batch.column, self._key) if self._has_key(batch.texts[i])]
        for code, counts in self._counts.items():
            pattern = re.compile(self._personal[code], re.ASCII)
            found[code] = [i for i in found[code] if any(map(counts, pattern.finditer(batch.texts[i])))]
        return found

    def seen(self, code: str, batch: Batch, row: int) -> str:
        """Return the beginning of what was found and its length: what is told of it must not be the secret."""
        text = batch.texts[row]
        if code == "secrets.key":
            return next((_masked(key) for key in self._keys(text)), "")
        counts = self._counts.get(code, bool)
        found = re.compile(self._personal[code], re.ASCII).finditer(text)
        return next((_masked(match[0]) for match in found if counts(match)), "")

    def _has_key(self, text: str) -> bool:
        return next(self._keys(text), None) is not None

    def _keys(self, text: str) -> Iterator[str]:
        """Yield keys, values that are called a key or a password, and addresses with a password."""
        yield from (found[0] for found in self._token.finditer(text) if is_token(found[0]))
        yield from (found["value"] for found in self._named.finditer(text) if _is_value(found))
        yield from (found[0] for found in self._address.finditer(text) if self._is_password(found))

    def _is_password(self, found: re.Match[str]) -> bool:
        # The password of a host in a house may be somebody's, that of an example is nobody's.
        host = found[0].lower().rpartition("@")[2]
        return is_password(found["user"], found["word"]) and "example" not in host.split(".")

    def _is_address(self, found: re.Match[str]) -> bool:
        """Whether mail may reach somebody: no example, no file, no user of a host in the address of a page or a repository."""
        local, _, domain = found[0].lower().partition("@")
        within = _PAGE.search(found.string, max(0, found.start() - 100), found.start())
        example = self._nowhere.search(domain) or any(f".{domain}".endswith(f".{d}") for d in self._domains)
        return not (within or example or self._nobody.fullmatch(local))


def _masked(text: str) -> str:
    shown = text[: min(_SHOWN, len(text) // 4)]
    return f"{short(shown)} and {len(text) - len(shown)} more characters"


def is_token(text: str) -> bool:
    """Whether what has the form of a key may be one: documentation has its own, and CSS has classes that begin so."""
    if _STANDS_FOR_ONE.search(text):
        return False
    digits = sum(map(str.isdigit, text))
    if text.startswith("sk-"):
        return digits >= _LEAST_DIGITS or (digits > 0 and text != text.lower())
    return True


def is_password(user: str, word: str) -> bool:
    """Whether `word` in scheme://user:word@host may be somebody's: not one that says that a password stands there."""
    usual = word == user or _USUAL_WORD.match(word) or _FILLED_IN.search(word)
    return not (usual or _STANDS_FOR_ONE.search(word))


def _is_value(found: re.Match[str]) -> bool:
    """Whether what is called a password or key is its value, and not a call, a variable or an example."""
    value = found["value"]
    if found.string[found.end() : found.end() + 1] == "=":  # of an address: ?token=…&state=…
        value = value.rpartition("&")[0] or value
    called = not found["quote"] and _CODE.match(found.string, found.end())
    return not (called or _STANDS_FOR_ONE.search(value) or _NAME.search(value)) and _is_random(value)


def _is_random(value: str) -> bool:
    value = _ALGORITHM.sub("", value)
    digits, letters = sum(map(str.isdigit, value)), [c for c in value if c.isalpha()]
    if not digits or not letters or value.rstrip("0123456789").isalpha():  # user2 is a name
        return False
    if any(c in "!@#$%^&*" for c in value):
        return True
    cases = len({c.isupper() for c in letters})
    return (cases > 1 and digits > 1) or (digits >= _LEAST_DIGITS and len(value) >= _LEAST_LENGTH)
