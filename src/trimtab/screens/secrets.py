"""Secrets and personal data: keys, addresses, numbers, and names that stand with a title."""

from __future__ import annotations

import re
from collections.abc import Iterator

from trimtab.screens.batch import Batch, matching
from trimtab.screens.patterns import read_patterns
from trimtab.screens.screen import Hits, RowScreen

_DIGITS = re.compile(r"\D")


class Secrets(RowScreen):
    """What should not be learned by heart."""

    codes = (
        "secrets.key", "personal.email", "personal.phone", "personal.card", "personal.number", "personal.name",
    )  # fmt: skip

    def __init__(self) -> None:
        known = read_patterns("secrets")
        self._simple = {
            code: "|".join(known[name])
            for code, name in {
                "secrets.key": "key",
                "personal.number": "number",
                "personal.name": "name",
            }.items()
        }
        self._email, self._phone, self._card = known["email"], known["phone"], known["card"]
        self._domains, self._tests = tuple(known["example_domains"]), frozenset(known["test_cards"])

    def hits(self, batch: Batch) -> Hits:
        """Return the rows with each; what is reserved for examples does not count."""
        found = {code: matching(batch.column, pattern) for code, pattern in self._simple.items()}
        for code, pattern, counts in (
            ("personal.email", self._email, self._is_address),
            ("personal.phone", self._phone, is_phone),
            ("personal.card", self._card, self._is_account),
        ):
            rows = matching(batch.column, pattern)
            found[code] = [i for i in rows if any(map(counts, _numbers(pattern, batch.texts[i])))]
        return found

    def _is_address(self, text: str) -> bool:
        domain = text.lower().partition("@")[2]
        return not any(domain == d or domain.endswith("." + d) for d in self._domains)

    def _is_account(self, text: str) -> bool:
        if text[0].isalpha():
            return is_iban(text)
        digits = _DIGITS.sub("", text)
        return digits not in self._tests and len(set(digits)) > 2 and is_card(digits)


def _numbers(pattern: str, text: str) -> Iterator[str]:
    """Yield what matches, but for the decimals of a longer number."""
    for found in re.finditer(pattern, text):
        before = text[max(0, found.start() - 2) : found.start()]
        if not (before[1:] in (".", ",") and before[:1].isdigit()):
            yield found[0]


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
    """Whether an account number has a right checksum (ISO 13616, modulo 97)."""
    plain = text.replace(" ", "")
    return 15 <= len(plain) <= 34 and int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1
