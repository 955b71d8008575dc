"""Secrets and personal data: keys, addresses, numbers, and names that stand with a title."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from trimtab.screens.batch import Batch, matching, matching_each, open_ended
from trimtab.screens.patterns import read_patterns
from trimtab.screens.screen import Hits, RowScreen

_DIGITS = re.compile(r"\D")
_LEAST_DIGITS, _LEAST_LENGTH = 4, 16  # of a value that has neither signs nor letters of both cases
# What stands in documentation where a key belongs, and what names one instead of being it.
_STANDS_FOR_ONE = re.compile(r"(?i)example|your|placeholder|change_?me|dummy|x{5,}|\*{3,}")
_NAME = re.compile(r"(?i)secret|p[a@](?:ss|\$\$)w|(?:^|[_-])(?:key|token)(?:$|[_-])|^\$")
_ALGORITHM = re.compile(r"(?i)pbkdf2|sha\d+|md5|base64|b64|utf8|oauth2|[har]s(?:256|384|512)|aes\d*")
_CODE = re.compile(r"[(\[]|\.[A-Za-z_]")
_USUAL_WORD = re.compile(
    r"(?i)(?:(?:your|my|the|db|user|admin|root)?[_-]?(?:password|passwd|passphrase|secret|pwd|pass)|postgres|guest|example)\d{0,4}\Z"
)
_FILLED_IN = re.compile(r"[<>{}\[\]]|^\$|%\(|%s")


class Secrets(RowScreen):
    """What should not be learned by heart."""

    codes = (
        "secrets.key", "personal.email", "personal.phone", "personal.card", "personal.number", "personal.name",
    )  # fmt: skip

    def __init__(self) -> None:
        known = read_patterns("secrets")
        self._email, self._phone, self._card = known["email"], known["phone"], known["card"]
        self._personal = {
            "personal.number": "|".join(known["number"]),
            "personal.name": "|".join(known["name"]),
        }
        self._personal |= {
            "personal.email": self._email,
            "personal.phone": self._phone,
            "personal.card": self._card,
        }
        self._key = open_ended("|".join([*known["key"], known["named"], known["address"]]))
        self._token, self._named, self._address = (
            re.compile(pattern, re.ASCII)
            for pattern in ("|".join(known["key"]), known["named"], known["address"])
        )
        self._domains, self._tests = tuple(known["example_domains"]), frozenset(known["test_cards"])

    def hits(self, batch: Batch) -> Hits:
        """Return the rows with each; what is reserved for examples does not count."""
        found = matching_each(batch.column, self._personal)
        found["secrets.key"] = [i for i in matching(batch.column, self._key) if self._has_key(batch.texts[i])]
        for code, pattern, counts in (
            ("personal.email", self._email, self._is_address),
            ("personal.phone", self._phone, is_phone),
            ("personal.card", self._card, self._is_account),
        ):
            found[code] = [i for i in found[code] if any(map(counts, _numbers(pattern, batch.texts[i])))]
        return found

    def _has_key(self, text: str) -> bool:
        return (
            any(is_token(found[0]) for found in self._token.finditer(text))
            or any(map(_is_value, self._named.finditer(text)))
            or any(is_password(found["user"], found["word"]) for found in self._address.finditer(text))
        )

    def _is_address(self, text: str) -> bool:
        domain = text.lower().partition("@")[2]
        return not any(domain == d or domain.endswith("." + d) for d in self._domains)

    def _is_account(self, text: str) -> bool:
        if text[0].isalpha():
            return is_iban(text)
        digits = _DIGITS.sub("", text)
        if digits[0] == "2" and not 2221 <= int(digits[:4]) <= 2720:
            return False
        return digits not in self._tests and len(set(digits)) > 2 and is_card(digits)


def _numbers(pattern: str, text: str) -> Iterator[str]:
    """Yield what matches, but for the decimals of a longer number."""
    for found in re.finditer(pattern, text):
        before = text[max(0, found.start() - 2) : found.start()]
        if not (before[1:] in (".", ",") and before[:1].isdigit()):
            yield found[0]


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


def is_phone(text: str) -> bool:
    """Whether a number may belong to somebody: 555-01xx is reserved, and so are runs of one digit."""
    digits = _DIGITS.sub("", text)
    return (
        len(set(digits)) > 3
        and digits[-7:-4] != "555"
        and digits[-10:-7] != "555"
        and "1234567" not in digits
    )


def is_card(digits: str) -> bool:
    """Whether 13 to 19 digits have a right checksum (Luhn, ISO/IEC 7812-1)."""
    if not 13 <= len(digits) <= 19:
        return False
    doubled = [int(d) * (1 + i % 2) for i, d in enumerate(reversed(digits))]
    return sum(d - 9 * (d > 9) for d in doubled) % 10 == 0


def is_iban(text: str) -> bool:
    """Whether `text` begins with an account number of a right checksum (ISO 13616, modulo 97), as long as its country's are."""
    length = _iban_lengths().get(text[:2], 0)
    found = re.match(rf"(?: ?[0-9A-Z]){{{length}}}(?![0-9A-Z])", text) if length else None
    if found is None:
        return False
    plain = found[0].replace(" ", "")
    return int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1


@lru_cache(maxsize=1)
def _iban_lengths() -> dict[str, int]:
    return {known[:2]: int(known[2:]) for known in read_patterns("secrets")["iban"].split()}
