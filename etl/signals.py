"""Signals for other apps. `run_closed`: a run was closed, by any process in any way, and that is committed.

    @receiver(run_closed)
    def notify(sender, run, **kwargs): ...

`sender` is the model Run, `run` its row at that time. A receiver is called in the process that closed the run, at most
once: not if that process dies between commit and call. An exception it raises is logged by its type and goes no
further.
"""

from django.dispatch import Signal

run_closed = Signal()
