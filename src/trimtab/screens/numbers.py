"""Numbers of people: phones, cards, accounts and social security, and what only looks like one of these.

Each function takes a match of its pattern in secrets.toml, and looks at what stands around it: a run of digits is a
number of somebody unless it is part of a longer number, a term of a calculation, or called something else.
"""

from __future__ import annotations

import re
from functools import lru_cache

from trimtab.screens.patterns import read_patterns

_DIGITS = re.compile(r"\D")
_NEAR = 40
"""Characters before and after a number that are looked at."""
_CALLED = re.compile(
    r"(?i)(?:\b(?:isbn|issn|doi|ean|upc|gtin|sku|imei|serial|part|order|invoice|tracking|model|version|ticket|dfars|cfr|clause)"
    r"(?:[ -]?(?:1[034]|number|num|no|id|code)\b\.?)*[ :#=]{0,3}|§ ?"
    r"|\b(?:calculate|compute|evaluate|simplify|subtract|what(?:'s| is))[: ]*)\Z"
)
_TERM_BEFORE = re.compile(r"[\d)] ?[+*×÷^\u2212] ?\Z|\de\+?\Z")
_TERM_AFTER = re.compile(r" ?[=×÷^]|\s?[*+] ?[\d(]")
_DECIMALS = re.compile(r"\d[.,]\Z|(?:\A|[^\w.])\.\Z")
# A code of two letters or less, or another group of digits, that a dash joins to it.
_JOINED_BEFORE, _JOINED_AFTER = (
    re.compile(r"(?:\d|\b[A-Za-z]{1,2})-\Z"),
    re.compile(r"-(?:\d|[A-Za-z]{1,2}\b)"),
)
_RUNS = "0123456789" * 2, "9876543210" * 2
_RUN = 7
_FREE_OF_CHARGE = re.compile(r"1?8(?:00|33|44|55|66|77|88)\d{7}")
_LEAST_ABROAD = 9
_GROUPS = re.compile(r"\d+")


def is_phone(found: re.Match[str]) -> bool:
    """Whether a number may belong to somebody.

    555-01xx is reserved, numbers free of charge are of firms, and digits in a row or round groups are made up.
    """
    text, digits = found[0], _DIGITS.sub("", found[0])
    if _is_other(found) or len(set(digits)) <= 3 or _in_a_row(digits) or _FREE_OF_CHARGE.fullmatch(digits):
        return False
    if "555" in (digits[-7:-4], digits[-10:-7]):
        return False
    if text.startswith("+"):
        return _is_abroad(digits) and not re.search(r"[\w).]\Z", _before(found))
    groups = _GROUPS.findall(text)
    if text.startswith("("):
        year = re.fullmatch(r"(?:19|20)\d\d", groups[0])
        return not (year or re.search(r"\b(?:[02-9]|\d\d+|[A-Za-z])\Z", _before(found)))
    return sum(group.endswith("00") for group in groups) < 2 and not _is_part(found, text[3])


def _is_abroad(digits: str) -> bool:
    """Whether digits after a plus begin with a country and are enough; fewer are dates and sums."""
    if digits.startswith("1"):
        return re.fullmatch(r"1[2-9]\d\d[2-9]\d{6}", digits) is not None
    return len(digits) >= _LEAST_ABROAD and _country().match(digits) is not None


def is_account(found: re.Match[str]) -> bool:
    """Whether the number of a payment card or of an account is one, and none that is published for tests."""
    text = found[0]
    if text[0].isalpha():
        return is_iban(text)
    digits = _DIGITS.sub("", text)
    tests = read_patterns("secrets")["test_cards"]
    return (
        digits not in tests and len(set(digits)) > 2 and is_card(digits)
        and not (_is_other(found) or _in_groups(found))
    )  # fmt: skip


def is_number(found: re.Match[str]) -> bool:
    """Whether a number of social security may be somebody's: not one that forms and comments show."""
    known = found[0] in read_patterns("secrets")["test_numbers"]
    joined = _JOINED_BEFORE.search(_before(found)) or _JOINED_AFTER.match(found.string, found.end())
    abroad = re.search(r"\+\d{1,3}[ -]?\Z", _before(found))
    return not (known or joined or abroad or _is_other(found) or len(set(found[0])) <= 3)


def is_card(digits: str) -> bool:
    """Whether digits begin as an issuer's cards do, are as many, and have a right checksum (Luhn, ISO/IEC 7812-1).

    Thirteen digits that have the checksum of a product's number (GS1) are taken for one.
    """
    if not _issued().fullmatch(digits):
        return False
    doubled = [int(d) * (1 + i % 2) for i, d in enumerate(reversed(digits))]
    product = len(digits) == 13 and sum(int(d) * (1 + i % 2 * 2) for i, d in enumerate(digits)) % 10 == 0
    return sum(d - 9 * (d > 9) for d in doubled) % 10 == 0 and not product


def is_iban(text: str) -> bool:
    """Whether `text` begins with an account number of a right checksum (ISO 13616, modulo 97), as long as its country's are."""
    length = _iban_lengths().get(text[:2], 0)
    found = re.match(rf"(?: ?[0-9A-Z]){{{length}}}(?![0-9A-Z])", text) if length else None
    if found is None:
        return False
    plain = found[0].replace(" ", "")
    return int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1


def _before(found: re.Match[str]) -> str:
    return found.string[max(0, found.start() - _NEAR) : found.start()]


def _is_other(found: re.Match[str]) -> bool:
    """Whether a number is the decimals of one, a term of a calculation, or called something else."""
    before, after = _before(found), found.string[found.end() : found.end() + 3]
    if before.endswith(",") and after.startswith(","):  # a cell of a table
        return False
    return any(sign.search(before) for sign in (_DECIMALS, _TERM_BEFORE, _CALLED)) or bool(
        _TERM_AFTER.match(after)
    )


def _in_a_row(digits: str) -> bool:
    return any(digits[i : i + _RUN] in run for i in range(len(digits) - _RUN + 1) for run in _RUNS)


def _is_part(found: re.Match[str], sign: str) -> bool:
    """Whether a phone number goes on, with the same sign, before or after; a country or a prefix may stand before it."""
    before = re.search(rf"(\d+){re.escape(sign)}\Z", _before(found))
    more = r"\d{3}" if sign == " " else r"\d"
    if re.match(re.escape(sign) + more, found.string[found.end() : found.end() + 4]):
        return True
    return before is not None and not _country().fullmatch(before[1].lstrip("0"))


def _in_groups(found: re.Match[str]) -> bool:
    """Whether groups of a card's number are some of a longer series of groups, as of a hexadecimal table."""
    sign = next((c for c in found[0] if c in " -"), "")
    group = r"(?=[0-9A-F]*\d)[0-9A-F]"
    before = sign and re.search(rf"\b{group}{{2,}}{sign}\Z", _before(found))
    return bool(
        before or (sign and re.match(rf"{sign}{group}{{4}}\b", found.string[found.end() : found.end() + 6]))
    )


@lru_cache(maxsize=1)
def _issued() -> re.Pattern[str]:
    return re.compile("|".join(read_patterns("secrets")["issued"]))


@lru_cache(maxsize=1)
def _country() -> re.Pattern[str]:
    return re.compile(read_patterns("secrets")["country"])


@lru_cache(maxsize=1)
def _iban_lengths() -> dict[str, int]:
    return {known[:2]: int(known[2:]) for known in read_patterns("secrets")["iban"].split()}
