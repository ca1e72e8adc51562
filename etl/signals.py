"""Signals for other apps. `run_closed`: a run was closed, by any process in any way, and that is committed.

    @receiver(run_closed)
    def notify(sender, run, **kwargs): ...

`sender` is the model Run, `run` its row at that time. A receiver is called in the process that closed the run, at most
once: not if that process dies between commit and call. An exception it raises is logged by its type and goes no
further.

`batch_landed`: a batch of a source with a target of its own was committed. `sender` is the target's model, `source` the
source's name, `run_id` its run, and `keys` has the primary keys, as text, of the rows that the batch wrote or found
equal. It is sent at most once too: the change feed has each change at least once.
"""

from django.dispatch import Signal

run_closed = Signal()
batch_landed = Signal()
