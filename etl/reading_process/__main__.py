"""Starts the reading process: `python -m etl.reading_process ORDER PATIENCE`.

Python's garbage collector is off before anything large is imported: it would scan again and again what stays. child.py
collects when there is something to collect.
"""

import gc

gc.disable()

from etl.reading_process.child import main  # noqa: E402

main()
