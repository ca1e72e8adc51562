"""What other apps can listen to. `run_closed`: a run has been closed, by whomever and however, and that is committed.

    @receiver(run_closed)
    def tell(sender, run, **kwargs): ...

`sender` is the model Run, `run` its row as of then. A receiver is called in the process that closed the run, once at
most: not if that dies between commit and call. What it raises is logged by its type, and disturbs nobody.
"""

from django.dispatch import Signal

run_closed = Signal()
