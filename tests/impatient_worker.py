"""Celery, whose workers look for an overdue sweep every second: `python -m tests.impatient_worker ARGUMENTS`."""

from celery.__main__ import main

from etl.supervision import sweep_watch

sweep_watch.LOOK_SECONDS = 1
sweep_watch.OVERDUE_SECONDS = 2
main()
