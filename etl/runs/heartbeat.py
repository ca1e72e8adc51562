"""Updates a running run's row: its heartbeat, and the counters that grow with each batch."""

import json
from typing import Any

from etl.fence.claims import Claim, describe_overtaking
from etl.records import Counters, Cursor


def beat(cursor: Any, claim: Claim) -> None:
    """Show that the run is alive. Skips a row that a batch has locked, because the batch shows it too."""
    cursor.execute(
        "UPDATE etl_runs SET heartbeat_at = clock_timestamp() WHERE id = (SELECT id FROM etl_runs"
        " WHERE id = %s AND epoch = %s AND status = 'running' FOR NO KEY UPDATE SKIP LOCKED)",
        [claim.run_id, claim.epoch],
    )


def add_batch(
    cursor: Any, claim: Claim, counters: Counters, versions: int, reached: Cursor, *, waiting: int = 0
) -> None:
    """Add a batch to its run, in the batch's own transaction; `versions` is the number of raw rows that it wrote.

    `waiting` counts the refused records that only wait for rows. Raises Overtaken if the run is closed.
    """
    columns = counters.as_columns() | {"versions": versions, "waiting": waiting}
    added = ", ".join(f"{name} = {name} + %({name})s" for name in columns)
    cursor.execute(
        f"UPDATE etl_runs SET {added}, cursor_after = %(reached)s, heartbeat_at = clock_timestamp()"
        " WHERE id = %(run_id)s AND epoch = %(epoch)s AND status = 'running'",
        {**columns, "reached": json.dumps(reached), "run_id": claim.run_id, "epoch": claim.epoch},
    )
    if not cursor.rowcount:
        raise describe_overtaking(claim)
