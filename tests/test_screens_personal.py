"""Numbers of people and keys: planted ones, all made up, and what looks like them and is harmless."""

from __future__ import annotations

import random

import pytest

from trimtab.records.record import Record, conversation
from trimtab.screens.batch import Batch
from trimtab.screens.form import Form
from trimtab.screens.numbers import is_card
from trimtab.screens.secrets import Secrets

BODY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7aKq2mYpX4w9R"


def codes(reply: str, prompt: str = "Tell me of it.") -> set[str]:
    record = Record(kind="sft", messages=conversation(prompt, reply))
    return {
        code for screen in (Secrets(), Form()) for code, rows in screen.hits(Batch([record])).items() if rows
    }


@pytest.mark.parametrize(
    ("text", "code"),
    [
        # Phones: with and without a country, in signs of several kinds, beside dates, extensions and other words.
        ("Call 212-736-5000 today.", "personal.phone"),
        ("212.736.5000", "personal.phone"),
        ("(212) 736-5000 ext. 12", "personal.phone"),
        ("1-212-736-5000", "personal.phone"),
        ("1(212) 736-5000", "personal.phone"),
        ("001-212-736-5000", "personal.phone"),
        ("Tel(212) 736-5000", "personal.phone"),
        ("**212-736-5000** or\n* 917 736 4821", "personal.phone"),
        ("phone=212-736-5000&x=1", "personal.phone"),
        ("In order of age: 212-736-5000, 917-736-4821", "personal.phone"),
        ("born 1980, 212-736-5000, of Troy", "personal.phone"),
        ("Mobile 010-3746-2958, or 010-374-2958", "personal.phone"),
        ("WhatsApp +44 7911 683429", "personal.phone"),
        ("+493083726415", "personal.phone"),
        ("+33 1 42 68 53 07, +33 142 68 53 07", "personal.phone"),
        ("+1 (212) 736-5000", "personal.phone"),
        ("+91 98203 41576; +91-982-034-1576", "personal.phone"),
        ("(020) 794-6083", "personal.phone"),
        ("347 123 4862 di Anna", "personal.phone"),
        # Cards by issuer and length, and how people write them.
        ("4539 1488 0343 6467", "personal.card"),
        ("4539-1488-0343-6467", "personal.card"),
        ("4539148803436467", "personal.card"),
        ("cc=4539148803436467;cvv=123", "personal.card"),
        ("17,4539148803436467,Jane", "personal.card"),
        ("4539 1488 0343 6467 123 exp 10/27", "personal.card"),
        ("Visa.4539148803436467", "personal.card"),
        ("card 5425 2334 3010 9903", "personal.card"),
        ("card 2223003122003222", "personal.card"),
        ("card 2202 2016 1234 5674", "personal.card"),
        ("Amex 3742 454554 00126", "personal.card"),
        ("374245455400126", "personal.card"),
        ("Diners 36259600000012", "personal.card"),
        ("JCB 3566 0020 2036 0505", "personal.card"),
        ("Discover 6011000991300009", "personal.card"),
        ("Maestro 6759649826438453", "personal.card"),
        ("UnionPay 6250941006528599", "personal.card"),
        ("old Visa 4929148803436", "personal.card"),
        # Numbers of social security.
        ("My SSN is 536-22-8174.", "personal.number"),
        ("ssn=536-22-8174&name=x", "personal.number"),
        ("SSN:536-22-8174", "personal.number"),
        ("SSN-536-22-8174", "personal.number"),
        ('"536-22-8174",', "personal.number"),
        ("born 1980-01-02, 536-22-8174", "personal.number"),
        ("**536-22-8174**", "personal.number"),
        ("Social Security number: 219-45-1184\nPhone: none", "personal.number"),
        # Addresses.
        ("write to jane.roe@acme.io", "personal.email"),
        ("mailto:jane@acme.io or <j_roe+x@uni-bonn.de>", "personal.email"),
        ("user: jane, mail: user.roe@acme.io", "personal.email"),
        ("https://acme.io/?mail=jane@acme.io", "personal.email"),
        # Keys.
        (f"-----BEGIN RSA PRIVATE KEY-----\n{BODY}\n", "secrets.key"),
        (f'"-----BEGIN PRIVATE KEY-----\\n{BODY}\\n', "secrets.key"),
        (f"-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n{BODY}", "secrets.key"),
        (f"-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: GnuPG v2\n\n{BODY}", "secrets.key"),
        (f"    -----BEGIN OPENSSH PRIVATE KEY-----\n    {BODY}", "secrets.key"),
        ("https://jane:Hunter2x@db.acme.io/x", "secrets.key"),
        ("x?access_token=2YotnFZFEjr1zCsicMWpAA&state=xyz", "secrets.key"),
    ],
)  # fmt: skip
def test_what_belongs_to_somebody_is_found(text: str, code: str) -> None:
    assert codes(text) == {code}


@pytest.mark.parametrize(
    "text",
    [
        # Mathematics, measures and statistics.
        "Calculate 500-20-1340 in your head.",
        "812-45-1234 = -467",
        "What is 900-312-2518?",
        "2 * 345-67-8901, 9 + 212-736-5000",
        "345-67-8901 × 2, 212-736-5000 ^ 2",
        "pi is 3.14159265358979323846264338327950288",
        "3.1415 9265 3589 7932 3846 2643 3832 7950",
        "coefficients .65449619293213, -.42748948931694 and [.45391488034364]",
        "6,5391488034364",
        "1.19570355039953e+676752584",
        "from -2147483648 to +2147483647",
        "100 200 3000 400 500 6000 or 100-200-3000",
        "17 283 902 4417 18 and 2718 5546 5531 5617 5968 2845",
        # Dates, times, versions.
        "20240115123000 2024-01-15T12:30:00+0200 1700000000000 1699999999999999999",
        "libkmod2 30+20221128-1 and 2.4+20151223.git",
        "v1.212.736.5000 and 10.212.736.5000.2",
        # Publications, products, parts.
        "ISBN 978-0-306-40615-7, ISBN-10 0-306-40615-2, ISBN: 345-67-8901",
        "EAN 4006381333931, GTIN-13: 4012345678901, UPC 539148803436467",
        "4006381333023",
        "Phys. Rev. 98 (2019) 345-4567; J. Biol. 45(12) 987-1002",
        "subject to DFARS 252.227-7014",
        "Part no. 212-736-5000, order number: 536-22-8174, SKU #4539148803436467",
        "AB-536-22-8174-X, 12-536-22-8174, 536-22-8174-2",
        "IMEI 490154203237518 and 356938035643809",
        "NSN 5330-01-123-4567",
        "550e8400-e29b-41d4-a716-446655440000 and 41234567-1234-4123-8123-446655440000",
        "53EC 5546 5531 5617 5968 59BE",
        "45391488034364 is of no issuer",
        # What stands for a number.
        "123-45-6789 or 078-05-1120, 219-09-9999, 111-22-3333",
        "234-567-8901, 987-654-3210, (098) 765-4321, 345.678.9012",
        "Call 1-800-362-0101, 888-736-5021 or (877) 736-5021",
        # Addresses of nobody.
        "user@example.co.uk test@test.test jane@host.invalid root@box.local a@foo.com",
        "git clone git@github.com:acme/tool.git",
        "icon@2x.png and logo@3x.webp",
        "username@gmail.com your.name@gmail.com my_gmail_address@gmail.com user123@gmail.com example@gmail.com",
        "no-reply@acme.io noreply@acme.io",
        "HostKey ssh-ed25519-cert-v01@openssh.com",
        # No keys.
        "A file begins with -----BEGIN RSA PRIVATE KEY----- and ends with -----END RSA PRIVATE KEY-----.",
        '"-----BEGIN PRIVATE KEY-----\\n...\\n-----END PRIVATE KEY-----"',
        "-----BEGIN EC PRIVATE KEY-----\n<key bytes>",
        "https://example.com/cb#access_token=sdlfkj452&state=ss345asyht",
        "http://JeremyCline:Hunter2@example.com:8080/",
        # Not of a model, nor left over.
        "You are as dimwitted as an AI-generated insult.",
        "It can't be classified as a language.",
    ],
)  # fmt: skip
def test_what_looks_like_it_is_harmless(text: str) -> None:
    assert codes(text) == set()


@pytest.mark.parametrize(
    ("prompt", "reply", "left"),
    [
        ("Write a page about the sea.", "Lorem ipsum dolor sit amet, consectetur.", True),
        ("Write a page.", "<p>Lorem ipsum dolor sit amet</p>", True),
        ("Count the words.\n\nLorem ipsum dolor sit amet.", "Five.", False),
        ("Make it HTML.\n\nLorem ipsum dolor", "<p>Lorem ipsum dolor</p>", False),
        ("Give me two lines of lorem ipsum.", "Lorem ipsum dolor sit amet.", False),
        ("Fill the page with placeholder text.", "Lorem ipsum dolor sit amet.", False),
        ("Make a page.", "Here:\n```html\n<p>Lorem ipsum dolor</p>\n```\nDone.", False),
    ],
)
def test_dummy_text_is_left_over_where_nobody_asked_for_it(prompt: str, reply: str, left: bool) -> None:
    assert codes(reply, prompt) == ({"form.template"} if left else set())


def test_a_document_of_dummy_text_is_left_over() -> None:
    record = Record(kind="document", messages=(conversation("", "Lorem ipsum dolor sit amet.")[1],))
    assert Form().hits(Batch([record]))["form.template"] == [0]


@pytest.mark.parametrize(
    ("digits", "card"),
    [
        ("4539148803436467", True),
        ("4539148803436468", False),
        ("9539148803436466", False),  # a right checksum, and no issuer
        ("356938035643809", False),  # 15 digits, as only American Express has
        ("1", False),
    ],
)
def test_a_card_has_an_issuer_its_length_and_a_checksum(digits: str, card: bool) -> None:
    assert is_card(digits) == card


def test_random_sums_lists_and_codes_hold_few_numbers_of_people() -> None:
    draw = random.Random(1)

    def n(digits: int) -> str:
        return str(draw.randrange(10 ** (digits - 1), 10**digits))

    def row() -> str:
        return (
            f"Compute {n(3)}-{n(2)}-{n(4)}.",
            "Sort: " + ", ".join(n(draw.randrange(1, 17)) for _ in range(8)),
            f"What is {n(3)} - {n(3)} - {n(4)}?",
            "Add " + " ".join(n(draw.randrange(2, 5)) for _ in range(7)),
            f"{draw.random()} + {draw.random():.14f} = ?",
            f"Factor {n(draw.randrange(10, 20))}. It is {n(5)}*{n(8)}.",
            f"At 2024-{n(2)}-{n(2)} {n(13)} ms v{n(1)}.{n(3)}.{n(3)}.{n(4)}",
            f"ISBN 978-{n(1)}-{n(3)}-{n(5)}-{n(1)}, {n(3)}-{n(2)}-{n(5)}, {n(4)} {n(4)} {n(4)} {n(4)} {n(4)}",
        )[draw.randrange(8)]

    total = 40_000
    found = Secrets().hits(
        Batch([Record(kind="sft", messages=conversation(row(), "So.")) for _ in range(total)])
    )
    assert not found["personal.number"]
    assert not found["secrets.key"]
    assert sum(map(len, found.values())) < 0.012 * total
