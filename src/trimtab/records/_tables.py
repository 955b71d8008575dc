"""Rows of Arrow tables: Parquet, and datasets of the `datasets` library, saved on disk or on the hub."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

from trimtab.errors import InputError, MissingPartError
from trimtab.records._rows import Item, Rejected, checked, unusable
from trimtab.records.shapes import Row, short

_BATCH = 256


def parquet_rows(path: Path) -> Iterator[Item]:
    """Yield the rows of a Parquet file, a batch in memory at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with path.open("rb") as file:
        if not file.read(1):
            return
        file.seek(0)
        try:
            yield from _rows(pq.ParquetFile(file).iter_batches(_BATCH), path)
        except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: names that are not UTF-8
            message = f"is not whole Parquet data ({short(str(error), 160)})"
            raise unusable("records.parquet", path, message, "Copy or write it again") from error


def _rows(batches: Iterable[Any], source: object, prefix: str = "") -> Iterator[Item]:
    number = 0
    for batch in batches:
        if len(set(batch.schema.names)) < len(batch.schema.names):
            message = "names a column twice"
            raise unusable("records.columns", source, message, "Give every column its own name")
        for row in _values(batch):
            number += 1
            place = f"{prefix}row {number}"
            yield (
                place,
                Rejected(place, "records.value", row) if isinstance(row, str) else checked(row, place),
            )


def _values(batch: Any) -> list[Row | str]:
    """Return the rows; for each row that Python cannot hold (broken UTF-8, far dates) the reason instead."""
    try:
        return cast(list[Row | str], batch.to_pylist())
    except (ValueError, OverflowError) as error:
        if len(batch) == 1:
            return [f"a value cannot be read ({short(str(error), 120)})"]
        return [row for i in range(len(batch)) for row in _values(batch.slice(i, 1))]


def is_saved(path: Path) -> bool:
    """Tell whether a folder is one that the `datasets` library saved."""
    return any((path / name).is_file() for name in ("state.json", "dataset_dict.json"))


def folder_rows(path: Path) -> Iterator[Item]:
    """Yield the rows, of all splits, of a folder written by `save_to_disk` of the `datasets` library."""
    if not is_saved(path):
        message = "is a folder, and not one that the datasets library saved"
        raise unusable("records.folder", path, message, "Name one file in it")
    datasets = _datasets("to read a dataset saved on disk")
    try:
        yield from _splits(datasets.load_from_disk(str(path)), path)
    except InputError:
        raise
    except Exception as error:  # a damaged folder makes the library raise almost anything
        message = f"cannot be loaded by datasets ({short(str(error), 160)})"
        raise unusable("records.folder", path, message, "Save it again with save_to_disk") from error


def _splits(loaded: Any, source: object) -> Iterator[Item]:
    splits = loaded.items() if isinstance(loaded, dict) else [("", loaded)]
    for name, split in splits:
        tables = split.with_format("arrow").iter(batch_size=_BATCH)
        yield from _rows(tables, source, f"{name} " if name else "")


def _datasets(why: str) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise MissingPartError("datasets", "local", why) from error
    return datasets


def is_hub(path: str | Path) -> bool:
    """Tell whether `path` names a dataset of the hub; only then is the network used."""
    return str(path).startswith("hf://")


def pinned(name: str) -> str:
    """Return `hf://ORG/NAME[@REVISION]` with its revision resolved to a commit, so that the data is named."""
    found = re.fullmatch(r"hf://([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", name)
    if not found:
        message = "does not name a dataset of the hub"
        raise unusable("records.hub", name, message, "Write hf://ORG/NAME or hf://ORG/NAME@REVISION")
    dataset, revision = found.groups()
    if re.fullmatch("[0-9a-f]{40}", revision or ""):
        return name
    _datasets("to read a dataset of the hub")
    import huggingface_hub

    try:
        commit = huggingface_hub.HfApi().dataset_info(dataset, revision=revision).sha
    except Exception as error:  # name, rights or network: the library's own words are passed on
        raise _hub_error(name, error) from error
    return f"hf://{dataset}@{commit}"


def hub_rows(name: str) -> Iterator[Item]:
    """Yield the rows, of all splits, of a dataset of the hub."""
    dataset, _, commit = pinned(name).removeprefix("hf://").partition("@")
    datasets = _datasets("to read a dataset of the hub")
    try:
        yield from _splits(datasets.load_dataset(dataset, revision=commit), name)
    except InputError:
        raise
    except Exception as error:  # as above
        raise _hub_error(name, error) from error


def _hub_error(name: str, error: Exception) -> InputError:
    fix = "Check the name and the network, or download the dataset and name its folder"
    return unusable("records.hub", name, f"cannot be read from the hub ({short(str(error), 200)})", fix)
