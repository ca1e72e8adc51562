"""What operators may do with changes of a source's shape: acknowledge them."""

from etl.exceptions import NotFound
from etl.models import SchemaChange
from etl.storage.snapshots import acknowledge_change


def acknowledge(change_id: int, *, user_id: int) -> SchemaChange:
    """Note that this user knows of the change; the first acknowledgement stands. Raises NotFound."""
    change = acknowledge_change(change_id, user_id)
    if change is None:
        raise NotFound(f"There is no schema change {change_id}.")
    return change
