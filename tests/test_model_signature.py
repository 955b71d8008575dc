"""The bundle is signed with model-signing, which checks it too; what is changed is told without it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from trimtab.errors import ConfigError
from trimtab.governance import model_signature
from trimtab.governance.ledger.ledger import open_ledger
from trimtab.governance.release import release
from trimtab.governance.standalone import verify as script
from trimtab.governance.verify.verify import verify

if TYPE_CHECKING:
    from tests.conftest import Command, FinishedRun

pytest.importorskip("model_signing")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, finished_run: FinishedRun) -> Path:
    folder = tmp_path_factory.mktemp("signed")
    release(finished_run(folder / "runs"), folder / "bundle", demo=True)
    return folder / "bundle"


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "bundle"))


def stated(bundle: Path) -> str:
    entries = [e.statement for _, e in open_ledger(bundle.parent / "runs").statements()]
    return str(next(s.body["key"] for s in entries if s.kind == "bundle-key"))


def test_model_signing_itself_finds_the_bundle_good(made: Path, tmp_path: Path) -> None:
    from model_signing import verifying

    (tmp_path / "key.pub").write_text(stated(made))
    check: Any = verifying.Config()  # type: ignore[no-untyped-call]
    check.use_elliptic_key_verifier(public_key=tmp_path / "key.pub")
    check.verify(made, made / "model.sig")
    shutil.copytree(made, tmp_path / "b")
    (tmp_path / "b/policy.json").write_bytes(b"[]")
    with pytest.raises(ValueError, match="mismatch"):
        check.verify(tmp_path / "b", tmp_path / "b/model.sig")


def test_a_signed_bundle_holds_in_both(made: Path) -> None:
    assert not verify(made).failures
    assert not script.verify(made).failures
    listed = json.loads((made / "bundle.json").read_bytes())["files"]
    assert "model.sig" not in listed


def altered(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def work(bundle: Path) -> None:
        value = json.loads((bundle / "model.sig").read_bytes())
        change(value)
        (bundle / "model.sig").write_text(json.dumps(value))

    return work


def another_key(bundle: Path) -> None:
    """Sign it again with a key that the ledger does not name."""
    (bundle / "model.sig").unlink()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TRIMTAB_CONFIG", str(bundle.parent / "config"))
        model_signature.sign(bundle)


def fewer(bundle: Path) -> None:
    """Sign it again, with less in it."""
    (bundle / "model.sig").unlink()
    shutil.move(bundle / "README.md", bundle.parent / "README.md")
    model_signature.sign(bundle)
    shutil.move(bundle.parent / "README.md", bundle / "README.md")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda b: (b / "model.sig").unlink(), "missing"),
        (lambda b: (b / "model.sig").write_text("[" * 9999), "malformed"),
        (lambda b: (b / "model.sig").write_text("{}"), "malformed"),
        (altered(lambda v: v.update(mediaType="x")), "malformed"),
        (altered(lambda v: v["verificationMaterial"]["publicKey"].update(hint="x")), "malformed"),
        (altered(lambda v: v["dsseEnvelope"].update(payload="e30=")), "malformed"),
        (altered(lambda v: v["dsseEnvelope"]["signatures"][0].update(sig="AAAA")), "signature"),
        (another_key, "malformed"),
        (fewer, "files"),
    ],
)
def test_another_signature_has_a_code(bundle: Path, change: Callable[[Path], Any], code: str) -> None:
    change(bundle)
    assert verify(bundle).codes == {f"model-signature.{code}"}
    if code == "missing":
        assert script.verify(bundle).failures == [("model-signature.missing", "model.sig")]


def test_a_signature_that_nobody_stated_is_told(
    finished_run: FinishedRun, made: Path, tmp_path: Path
) -> None:
    report = release(finished_run(tmp_path / "runs"), tmp_path / "b", demo=True, sign=False)
    assert "model-signing: the bundle is not signed with it" in report.notes
    shutil.copy(made / "model.sig", tmp_path / "b/model.sig")
    assert verify(tmp_path / "b").codes == {"model-signature.key"}


def test_a_run_is_released_to_a_relative_path(
    command: Command, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = next((made.parent / "runs").glob("*_loop_*"))
    assert command("release", run, "-o", "relative", "--demo").code == 0
    assert not verify(Path("relative")).failures


def test_a_run_can_be_released_again(command: Command, made: Path, tmp_path: Path) -> None:
    run = next((made.parent / "runs").glob("*_loop_*"))
    assert command("release", run, "-o", tmp_path / "again", "--demo").code == 0
    assert not verify(tmp_path / "again").failures
    assert not script.verify(tmp_path / "again").failures
    assert not verify(made).failures


def test_the_command_says_what_is_not_installed(
    command: Command, finished_run: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_signature, "can_sign", lambda: False)
    code, _, err = command("release", finished_run(tmp_path / "runs"), "-o", tmp_path / "b", "--demo")
    assert code == 0
    assert "not installed: pip install 'trimtab[sign]'" in err
    assert not (tmp_path / "b/model.sig").exists()


def test_the_key_is_kept_for_its_owner_and_its_passphrase(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIMTAB_CONFIG", str(tmp_path))
    monkeypatch.setenv("TRIMTAB_PASSPHRASE", "long and secret")
    first = model_signature.key_statement("r")
    assert model_signature.key_statement("r") == first
    path = tmp_path / "p256/bundle.pem"
    assert path.stat().st_mode & 0o077 == 0
    ended = command("keys", "bundle")
    assert (ended.code, ended.out) == (0, first.body["key"])
    monkeypatch.delenv("TRIMTAB_PASSPHRASE")
    with pytest.raises(ConfigError, match=r"key\.unreadable"):
        model_signature.key_statement("r")
    from trimtab.governance.keys import key_path, new_key

    new_key("zoe")
    shutil.copy(key_path("zoe"), path)
    with pytest.raises(ConfigError, match=r"key\.kind"):
        model_signature.key_statement("r")
