"""The tables, with the rules that the database itself enforces: named unique and check constraints.

Only the pipeline writes to these tables. All times that a decision depends on come from the database's clock.
"""

from etl.models.alerts import Alert, AnnouncedStanding
from etl.models.checkpoints import Checkpoint
from etl.models.columns import JsonTextField
from etl.models.files import SourceFile
from etl.models.leases import TaskLease
from etl.models.quarantine import QuarantinedRecord
from etl.models.read_marks import ReadMark
from etl.models.reads import JudgedRead
from etl.models.records import (
    RAW_MODELS,
    AnyRawRecord,
    RawApiRecord,
    RawCsvRecord,
    RawRecord,
    RawThirdSourceRecord,
    UnifiedRecord,
)
from etl.models.runs import Run, RunEvent, RunKey
from etl.models.schema import SchemaChange, SchemaSnapshot
from etl.models.totals import Total

__all__ = [
    "RAW_MODELS",
    "Alert",
    "AnnouncedStanding",
    "AnyRawRecord",
    "Checkpoint",
    "JsonTextField",
    "JudgedRead",
    "QuarantinedRecord",
    "RawApiRecord",
    "RawCsvRecord",
    "RawRecord",
    "RawThirdSourceRecord",
    "ReadMark",
    "Run",
    "RunEvent",
    "RunKey",
    "SchemaChange",
    "SchemaSnapshot",
    "SourceFile",
    "TaskLease",
    "Total",
    "UnifiedRecord",
]
