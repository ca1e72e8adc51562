"""Signals for other apps. `run_closed`: a run was closed, by any process in any way, and that is committed.

    @receiver(run_closed)
    def notify(sender, run, **kwargs): ...

`sender` is the model Run, `run` its row at that time. A receiver is called in the process that closed the run, at most
once: not if that process dies between commit and call. An exception it raises is logged by its type and goes no
further.

`batch_landed`: a batch of a source with a target of its own was committed.

    @receiver(batch_landed, sender=Product)
    def reindex(sender, source, run_id, keys, removed, **kwargs): ...

`sender` is the target's model, `source` the source's name, and `run_id` its run. `keys` has the primary keys, as text,
of the rows that the batch wrote or found equal, `removed` those of records that vanished and whose rows it ended or
deleted. It is sent at most once too: the change feed has each change at least once.
"""

from django.dispatch import Signal

run_closed = Signal()
batch_landed = Signal()
