"""Sources that misbehave in a reading process, or can't be read by one."""

import logging
import os
import stat
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NoReturn

from etl.records import Breach, Record, UnifiedFields
from etl.sources.listings import Listings
from etl.sources.products import ProductsCsv

CHILD = "etl.reading_process"
IS_CHILD = CHILD in sys.orig_argv
TROUBLE = 250
"""The product of this number makes the trouble."""

logger = logging.getLogger(__name__)


class Troubled(ProductsCsv):
    """Products, one of which makes trouble."""

    def unify(self, values: Mapping[str, Any]) -> UnifiedFields | Breach:
        if values["product_id"] == TROUBLE:
            self.make_trouble()
        return super().unify(values)

    def make_trouble(self) -> None:
        raise NotImplementedError


class Sleeping(Troubled):
    """Never ends in a reading process. Before that, the run has judged its first records itself."""

    def make_trouble(self) -> None:
        if IS_CHILD:
            time.sleep(3600)


class Unguarded(Troubled):
    """Makes the trouble where no guard refuses the record: as a bug of the pipeline would."""

    def unify(self, values: Mapping[str, Any]) -> UnifiedFields | Breach:
        return ProductsCsv.unify(self, values)

    def add_origin(self, record: Record, file: str) -> Mapping[str, Any]:
        if record.values["product_id"] == str(TROUBLE):
            self.make_trouble()
        return super().add_origin(record, file)


class Buggy(Unguarded):
    def make_trouble(self) -> NoReturn:
        raise KeyError("a bug")


class TwoArguments(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


class BuggyWithoutPickle(Unguarded):
    """Raises an error that can't be pickled."""

    def make_trouble(self) -> NoReturn:
        raise TwoArguments("one", "two")


class Fatal(Troubled):
    """Ends its reading process without a word."""

    def make_trouble(self) -> None:
        if IS_CHILD:
            os._exit(3)


class CuttingPipe(Troubled):
    """Closes its reading process's pipe, which lives on."""

    def make_trouble(self) -> None:
        if IS_CHILD:
            for descriptor in range(3, 100):
                with suppress(OSError):
                    if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                        os.close(descriptor)
            time.sleep(3600)


class Talkative(Troubled):
    def make_trouble(self) -> None:
        print("printed by a source")
        logger.warning("logged by a source in %s", "a reading process" if IS_CHILD else "the run's process")


class OtherThere(ProductsCsv):
    """Has another contract in a reading process, as after an update of the code."""

    version = 2 if IS_CHILD else 1


class NeedingModels(ProductsCsv):
    """Imports models in a reading process, whose apps are not loaded at first."""

    if IS_CHILD:
        from django.contrib.auth import models


class Supplier(Talkative):
    """One of many of a kind: it logs its own name."""

    def __init__(self, name: str = "supplier", *, kept: object = None) -> None:
        self.name, self.kept = name, kept

    def make_trouble(self) -> None:
        logger.warning("logged by %s in %s", self.name, "a reading process" if IS_CHILD else "the run's process")


class EnvelopedListings(Listings):
    """Listings in an array within an object."""

    records = "data.items"
