"""The operation on changes of a source's shape: to acknowledge them."""

from etl.exceptions import NotFound
from etl.models import SchemaChange
from etl.storage.snapshots import acknowledge_change


def acknowledge(change_id: int, *, user_id: int) -> SchemaChange:
    """Record that this user knows of the change. Only the first acknowledgement counts. Raises NotFound."""
    change = acknowledge_change(change_id, user_id)
    if change is None:
        raise NotFound(f"There is no schema change {change_id}.")
    return change
