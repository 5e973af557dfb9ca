"""The trials of a study as a table."""

import csv
import io
import json
import math
from typing import Any

import optuna


def rows(study: optuna.Study) -> list[dict[str, Any]]:
    """One row for each trial, by number; every row has every column, None where unknown."""
    table = []
    for trial in study.get_trials(deepcopy=False):
        start, end = trial.datetime_start, trial.datetime_complete
        table.append(
            {
                "trial": trial.number,
                "state": trial.state.name.lower(),
                "objective": trial.values[0] if trial.values else None,
                "started": start.isoformat() if start else None,
                "seconds": (end - start).total_seconds() if start and end else None,
            }
            | trial.params
            | trial.user_attrs
        )
    columns = list(dict.fromkeys(column for row in table for column in row))
    return [{column: row.get(column) for column in columns} for row in table]


def render(table: list[dict[str, Any]], form: str) -> bytes:
    """As `csv`, `json` (infinity and nan are null there) or `parquet`."""
    if form == "json":
        clean = [{k: None if _not_finite(v) else v for k, v in row.items()} for row in table]
        return (json.dumps(clean, indent=2, allow_nan=False) + "\n").encode()
    if form == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(table), buffer)
        return buffer.getvalue()
    text = io.StringIO()
    if table:
        writer = csv.DictWriter(text, fieldnames=list(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    return text.getvalue().encode()


def _not_finite(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
