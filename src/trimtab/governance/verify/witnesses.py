"""Who saw the known checkpoint and when: cosignatures of trusted witnesses, and an RFC 3161 timestamp."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from trimtab.errors import ConfigError, InputError, Problem, install_line
from trimtab.governance.keys import Trust
from trimtab.governance.ledger.cosignature import seen_at
from trimtab.governance.ledger.note import Signed
from trimtab.governance.verify.log import CheckedLog
from trimtab.governance.verify.report import Report

SKEW = timedelta(minutes=5)
"""By which an honest operator's clock may be ahead of a witness's."""


def check_witnesses(
    log: CheckedLog, known: Signed, trust: Trust | None, stamped: str, report: Report
) -> Mapping[str, str]:
    """Return who saw the known checkpoint → when; the entries under it must not claim to be of later."""
    seen = {"the timestamp's authority": stamped} if stamped else {}
    for witness in trust.witnesses if trust else ():
        try:
            seconds = seen_at(known, witness)
        except InputError as error:
            report.must(False, "witness.signature", witness.name, error.problems[0].message)
            continue
        if seconds is not None:
            seen[witness.name] = _written(datetime.fromtimestamp(min(seconds, 2**37), UTC))
    last = log.entries[known.checkpoint.size - 1].statement.body["time"] if known.checkpoint.size else ""
    for name, time in seen.items():
        latest = _written(datetime.fromisoformat(time) + SKEW)
        what = (
            f"saw {known.checkpoint.size} entries at {time}, and the last of them says that it is of {last}"
        )
        report.must(last <= latest, "witness.clock", name, what)
        report.notes.append(f"witnessed: {name} saw {known.checkpoint.size} entries at {time}")
    return seen


def _written(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def read_timestamp(path: Path, authority: Path, known: Path) -> str:
    """Return the time in an RFC 3161 response on the bytes of a known checkpoint, of an authority in a PEM file.

    Raises InputError where the response does not hold, ConfigError where the part that reads it is not installed.
    """
    try:
        from rfc3161_client import VerificationError, VerifierBuilder, decode_timestamp_response
    except ImportError as error:
        fix = f"Install it: {install_line('sign')}"
        raise ConfigError(
            Problem("timestamp.not-installed", str(path), "cannot be read here", fix)
        ) from error
    from cryptography.x509 import load_pem_x509_certificates

    fix = "Ask the authority for a response on this very file, and name its root certificate."
    try:
        builder = VerifierBuilder()
        for certificate in load_pem_x509_certificates(authority.read_bytes()):
            builder = builder.add_root_certificate(certificate)
        response = decode_timestamp_response(path.read_bytes())
        builder.build().verify_message(response, known.read_bytes())
    except (OSError, ValueError, VerificationError) as error:
        what = f"does not hold ({str(error)[:120]})"
        raise InputError(Problem("timestamp.wrong", str(path), what, fix)) from error
    return _written(response.tst_info.gen_time.astimezone(UTC))
