"""The Daft engine: tables, and model work in checkpointed batches, on this machine or on a Ray cluster.

A batch is the unit of everything: it is asked of the model whole, and finished it is one Parquet part. Another composition of batches would change sampled text, so a
batch that was cut off is redone whole.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.errors import ConfigError, InputError, MissingPartError, ModelError, Problem, TrimtabError
from trimtab.records.record import sha256
from trimtab.records.write import write_parquet

if TYPE_CHECKING:
    import daft

Row = dict[str, Any]
Work = Callable[[int, list[Row]], list[Row]]
Progress = Callable[[int], None]

TRIES = 3  # of a batch on a cluster, when the process that works on it dies

_DIGEST = b"trimtab.input"
_engine = "native"
_one_at_a_time = threading.Lock()


def load_daft() -> Any:
    """Import Daft, with its telemetry and Ray's switched off first."""
    os.environ["DO_NOT_TRACK"] = "1"
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("DAFT_PROGRESS_BAR", "0")
    import daft

    return daft


def load_tables() -> Any:
    """Import Daft for a table of this process: its runner is set, for to find out which it is Daft would import Ray."""
    daft = load_daft()
    if not spreads():
        _run_natively(daft)
    return daft


@lru_cache(maxsize=1)
def _run_natively(daft: Any) -> None:
    with suppress(daft.exceptions.DaftCoreException):  # whoever uses this as a library has set one
        daft.set_runner_native()


def literal(path: Path) -> str:
    """Return `path` as Daft reads it: what would be a pattern in it is escaped."""
    return re.sub(r"([*?\[\]{}\\])", r"\\\1", str(path))


def set_engine(spec: str) -> None:
    """Choose where work runs: `native`, `ray` (the cluster of this machine) or `ray://HOST:PORT`.

    Once in a process, before any table is made. Raises ConfigError for another spec or a second choice, and
    MissingPartError without Ray.
    """
    global _engine  # noqa: PLW0603  the runner of Daft is one for a process as well
    if spec == _engine:
        return
    check_engine(spec)
    _set_runner(spec)
    _engine = spec


def check_engine(spec: str) -> None:
    """Raise ConfigError for what is no engine, MissingPartError without Ray; nothing is started."""
    if not re.fullmatch(r"native|ray|ray://[\w.\-\[\]:]+:\d{1,5}", spec):
        fix = "Use native, ray or ray://HOST:PORT"
        raise ConfigError(Problem("engine.unknown", f"engine {spec!a}", "is not known", fix))
    if spec != "native" and find_spec("ray") is None:
        raise MissingPartError("ray", "ray", f"for the engine {spec}")


def _set_runner(spec: str) -> None:
    daft = load_daft()
    try:
        if spec == "native":
            daft.set_runner_native()
            return
        import ray  # noqa: F401  only to name what is missing

        daft.set_runner_ray(None if spec == "ray" else spec, noop_if_initialized=True)
    except ImportError as error:
        raise MissingPartError("ray", "ray", f"for the engine {spec}") from error
    except (ValueError, RuntimeError, ConnectionError) as error:
        fix = "Choose the engine once, at the start, and check that the cluster runs"
        message = f"cannot be used ({error})"
        raise ConfigError(Problem("engine.unavailable", f"engine {spec}", message, fix)) from error


def frame(rows: Sequence[Row]) -> daft.DataFrame:
    """Return rows as a Daft table with typed columns; a key that a row lacks is null there.

    Raises InputError that names every column whose values have no common type.
    """
    import pyarrow as pa

    columns, problems = {}, []
    for name in dict.fromkeys(key for row in rows for key in row):
        try:
            columns[name] = pa.array([row.get(name) for row in rows])
        except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
            fix = "Give all its values one type"
            problems.append(Problem("engine.mixed-types", f"column {name!a}", ascii(str(error)), fix))
    if problems:
        raise InputError(problems)
    return load_tables().from_arrow(pa.table(columns))


def map_batches(
    batches: Sequence[Sequence[Row]],
    work: Work,
    *,
    folder: Path | None,
    key: Any = None,
    spread: bool = True,
    progress: Progress | None = None,
) -> list[Row]:
    """Return `work(number, batch)` of each batch, joined in the order of the batches.

    Rows and results are JSON values. With a `folder`, each finished batch is kept there as `part-00007.parquet`
    and not done again while its rows and `key` stay the same: in `key` belongs what else the results depend on,
    such as the digest of a model and its settings. `progress` is called with the number of rows newly done. On
    Ray, `work` must be picklable, and runs in one process on each node, one batch at a time; unless `spread`,
    it runs here on any engine. What `work` raises ends the call; finished parts stay.
    """
    digests = [sha256(_dump([key, number, batch]).encode()) for number, batch in enumerate(batches)]
    done = _finished(folder, digests)
    report = progress or (lambda _: None)
    report(sum(len(batches[number]) for number in done))
    left = [(number, list(batch)) for number, batch in enumerate(batches) if number not in done]
    for number, results in (_on_ray if spread and spreads() else _here)(left, work):
        if folder is not None:
            _write_part(_part(folder, number), results, digests[number])
        done[number] = results
        report(len(batches[number]))
    return [json.loads(result) for number in range(len(batches)) for result in done[number]]


def spread_out(work: Callable[[str], str], items: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield (number, `work(item)`) for each of `items`, in the order in which they end, on all cores there are.

    For work on data, many processes on each node; models go through `map_batches`. `work` must be picklable and
    is done again where its process dies, so it must leave the same behind however often it is done. A TrimtabError
    that it raises ends the call. Two items or fewer, or a machine of one core, need no other process: starting
    them takes a second.
    """
    if not spreads() and (len(items) <= 2 or _cores() == 1):
        yield from ((number, work(item)) for number, item in enumerate(items))
        return
    daft = load_daft()
    rows = [{"number": number, "item": item} for number, item in enumerate(items)]
    worker = daft.cls(_item_worker(daft), use_process=True, max_concurrency=_cores())(work)
    table = frame(rows).into_batches(1)
    table = table.select(table["number"], worker.result(table["item"]).alias("result"))
    for part in table.iter_partitions():
        columns = _fetched(part).to_pydict()
        for number, result in zip(columns["number"], columns["result"], strict=True):
            answer = json.loads(result)
            if "problems" in answer:
                raise TrimtabError([Problem(**problem) for problem in answer["problems"]])
            yield number, answer["result"]


def _cores() -> int:
    if not spreads():
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    import ray

    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def _fetched(part: Any) -> Any:
    if not spreads():
        return part
    import ray

    return ray.get(part)


def _item_worker(daft: Any) -> type:
    """Return the class that Daft makes in each process."""

    class ItemWorker:
        def __init__(self, work: Callable[[str], str]) -> None:
            self.work = work

        @daft.method.batch(return_dtype=daft.DataType.string())  # type: ignore[untyped-decorator]
        def result(self, items: Any) -> list[str]:
            return [self._one(item) for item in items.to_pylist()]

        def _one(self, item: str) -> str:
            try:
                return _dump({"result": self.work(item)})
            except TrimtabError as error:
                return _dump({"problems": [asdict(problem) for problem in error.problems]})

    return ItemWorker


def spreads() -> bool:
    """Return whether batches go to the processes of a cluster."""
    return _engine.startswith("ray")


def _dump(value: Any) -> str:
    # Results pass through JSON in every case, so that a resumed call returns what an unbroken one does.
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


Batches = list[tuple[int, list[Row]]]


def _here(batches: Batches, work: Work) -> Iterator[tuple[int, list[str]]]:
    # In this process, not in a Daft UDF: a UDF's process is a fresh one for each query, and would load the
    # model anew, while here it stays in memory.
    for number, batch in batches:
        yield number, [_dump(result) for result in work(number, batch)]


def _on_ray(batches: Batches, work: Work) -> Iterator[tuple[int, list[str]]]:
    """Run batches on the nodes of the cluster; results come in the order in which they end."""
    if not batches:
        return
    import ray

    daft = load_daft()
    # One row is one whole batch: into_batches(batch_size) over single rows keeps only about to the size.
    table = frame([{"number": number, "batch": _dump(batch)} for number, batch in batches]).into_batches(1)
    # In the process that Daft keeps on each node: one of its own would be a fresh one for each query, and
    # would load the model anew.
    worker = daft.cls(_worker(daft), use_process=False)(work, secrets.token_hex(8))
    table = table.select(table["number"], worker.results(table["number"], table["batch"]).alias("results"))
    for reference in table.iter_partitions():
        columns = ray.get(reference).to_pydict()
        for number, results in zip(columns["number"], columns["results"], strict=True):
            yield number, _unpacked(json.loads(results))


def _worker(daft: Any) -> type:
    """Return the class that Daft makes on each node."""

    class Worker:
        def __init__(self, work: Work, query: str) -> None:
            _use_all_cores()
            self.work, self.query = work, query

        @daft.method.batch(return_dtype=daft.DataType.string())  # type: ignore[untyped-decorator]
        def results(self, numbers: Any, batches: Any) -> list[str]:
            pairs = zip(numbers.to_pylist(), batches.to_pylist(), strict=True)
            return [_packed(self.work, self.query, number, json.loads(batch)) for number, batch in pairs]

    return Worker


def _use_all_cores() -> None:
    """Let a library that is imported later compute with all cores of the node; Ray allows Daft's process one."""
    import ray

    own = ray.get_runtime_context().get_node_id()
    cores = next((node["Resources"].get("CPU", 1) for node in ray.nodes() if node["NodeID"] == own), 1)
    os.environ["OMP_NUM_THREADS"] = str(max(1, int(cores)))


def _packed(work: Work, query: str, number: int, batch: list[Row]) -> str:
    """Results as JSON; the problems of a TrimtabError as well, which Ray would bury in a traceback."""
    try:
        with _one_at_a_time:  # Daft's threads share the process, and so the model
            _count_try(query, number)
            return _dump({"results": [_dump(result) for result in work(number, batch)]})
    except TrimtabError as error:
        return _dump({"problems": [asdict(problem) for problem in error.problems]})


def _count_try(query: str, number: int) -> None:
    """Count on the cluster how often a batch was begun: Daft begins one anew without end when its worker dies."""
    from ray.experimental import internal_kv as store

    key = f"trimtab/{query}/{number}".encode()
    tries = int(store._internal_kv_get(key) or 0)
    if tries == TRIES:
        fix = "Look for what ended it, such as too little memory, and start the same command again."
        message = f"the worker's process died {tries} times"
        raise ModelError(Problem("engine.worker-died", f"batch {number}", message, fix))
    store._internal_kv_put(key, str(tries + 1).encode())


def _unpacked(answer: dict[str, Any]) -> list[str]:
    if "problems" in answer:
        raise TrimtabError([Problem(**problem) for problem in answer["problems"]])
    return list(answer["results"])


def _part(folder: Path, number: int) -> Path:
    return folder / f"part-{number:05d}.parquet"


def _write_part(path: Path, results: list[str], digest: str) -> None:
    import pyarrow as pa

    schema = pa.schema({"payload": pa.large_string()}, metadata={_DIGEST: digest.encode()})
    write_parquet(path, pa.table({"payload": pa.array(results, pa.large_string())}, schema=schema))


def _finished(folder: Path | None, digests: list[str]) -> dict[int, list[str]]:
    """Return the results of batches whose part is there, of the same rows; parts past the last are removed."""
    if folder is None or not folder.is_dir():
        return {}
    names = {_part(folder, number): number for number in range(len(digests))}
    done = {}
    for path in sorted(folder.glob("part-*.parquet")):
        if path not in names:
            path.unlink()
        elif (results := _read_part(path, digests[names[path]])) is not None:
            done[names[path]] = results
    return done


def _read_part(path: Path, digest: str) -> list[str] | None:
    """Return the results in a part; None when it is of other rows or damaged, and so not done."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        metadata = table.schema.metadata or {}
        return list(table["payload"].to_pylist()) if metadata.get(_DIGEST) == digest.encode() else None
    except (pa.ArrowException, OSError, KeyError):
        return None
