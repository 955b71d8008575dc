"""Bundles of every format that was ever released are verified for ever.

`TRIMTAB_GOLDEN=1 python -m pytest tests/test_golden.py` writes the one of today's format where it is not there yet;
those that are there are never written again.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from trimtab.governance.keys import load_key, new_key, read_trust
from trimtab.governance.release import release
from trimtab.governance.review import Opinion, review
from trimtab.governance.roles import Role
from trimtab.governance.standalone import verify as script
from trimtab.governance.verify.files import FORMAT
from trimtab.governance.verify.verify import Outside, read_known, verify
from trimtab.governance.waiver import Waiver

if TYPE_CHECKING:
    from tests.conftest import FinishedRun

GOLDEN = Path(__file__).parent / "golden"
AT = "2026-12-01T00:00:00Z"


@pytest.mark.skipif(not os.environ.get("TRIMTAB_GOLDEN"), reason="writes a golden bundle only when asked to")
def test_make(tmp_path: Path, finished_run: FinishedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    target = GOLDEN / FORMAT
    if target.exists():
        pytest.skip("it is there already")
    monkeypatch.setenv("TRIMTAB_CONFIG", str(tmp_path / "config"))
    # Documents are made anew by the version that wrote them only: texts may change, formats may not.
    monkeypatch.setattr("trimtab.run.directory.__version__", "0.0.0")
    role = Role(name="safety", days=3650, keys=(str(new_key("ann").public),))
    run = finished_run(tmp_path / "runs", (role,))
    kept = (tmp_path / "runs/ledger/checkpoint").read_bytes()
    review(run, "safety", load_key("ann"), Opinion("approve", "For the tests.", {}))
    gates = ("refusal_twins", "refusal_ordinary", "broken", "pair_gap", "gap_reversal", "preference_accuracy", "preference_matched", "nll_per_token", "attack_success")  # fmt: skip
    release(
        run,
        tmp_path / "bundle",
        [Waiver(g, "a fake model", "the tests", "2036-01-01T00:00:00Z") for g in gates],
        sign=False,
    )
    shutil.copytree(tmp_path / "bundle", target / "bundle")
    (target / "checkpoint").write_bytes(kept)
    names = (("operator", "operator"), ("ledger", "ledger"), ("safety", "ann"))
    (target / "keys.txt").write_text("".join(f"{role} {load_key(name).public}\n" for role, name in names))


@pytest.mark.parametrize("folder", sorted(GOLDEN.glob("*")), ids=lambda p: p.name)
def test_golden_bundles_are_verified(folder: Path) -> None:
    trust, known = folder / "keys.txt", folder / "checkpoint"
    report = verify(folder / "bundle", Outside(read_trust(trust), read_known(known), AT))
    assert [str(f) for f in [*report.failures, *report.due]] == []
    # Its documents are those of the version that wrote it, which can make them anew; no other version can.
    assert {f.code for f in report.undecided} <= {"document.version"}
    found = script.verify(folder / "bundle", trust, known, AT)
    assert not found.failures
    assert not found.due
