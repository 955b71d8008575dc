"""Records as Arrow columns, made column by column: a dict for each record would take most of the time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trimtab.records.record import Lineage, Message, Record, all_ids
from trimtab.records.write import record_schema


def record_table(records: Sequence[Record]) -> Any:
    """Return the Arrow table, of the columns of `record_schema`, that holds `records` in order."""
    import pyarrow as pa

    schema = record_schema()
    ids = all_ids(records)
    columns = {"id": [one for one, _ in ids], "lineage_id": [other for _, other in ids]}
    for name in ("kind", "text_a", "text_b", "mechanism", "cell", "source"):
        columns[name] = [getattr(record, name) for record in records]
    made = {name: pa.array(values, pa.string()) for name, values in columns.items()}
    for name in ("messages", "chosen", "rejected"):
        made[name] = _turns([getattr(record, name) for record in records], schema.field(name).type)
    made["lineage"] = _lineages([record.lineage for record in records], schema.field("lineage").type)
    return pa.table([made[name] for name in schema.names], schema=schema)


def _turns(turns: Sequence[tuple[Message, ...] | None], kind: Any) -> Any:
    import numpy as np
    import pyarrow as pa

    if not any(turns):
        return pa.nulls(len(turns), kind)
    missing = np.array([one is None for one in turns], bool)
    flat = [message for one in turns if one for message in one]
    texts = ([m.role for m in flat], [m.content for m in flat])
    struct = pa.StructArray.from_arrays([pa.array(t, pa.string()) for t in texts], ["role", "content"])
    ends = np.cumsum([len(one or ()) for one in turns], dtype=np.int32)
    offsets = pa.array(np.concatenate([np.zeros(1, np.int32), ends]))
    return pa.ListArray.from_arrays(offsets, struct, mask=pa.array(missing)).cast(kind)


def _lineages(lineages: Sequence[Lineage], kind: Any) -> Any:
    """Rows of foreign shapes share one lineage: each is converted once."""
    import pyarrow as pa

    distinct = {id(lineage): lineage for lineage in lineages}
    places = {key: place for place, key in enumerate(distinct)}
    rows = pa.array([lineage.row() for lineage in distinct.values()], kind)
    return rows.take(pa.array([places[id(lineage)] for lineage in lineages], pa.int64()))
