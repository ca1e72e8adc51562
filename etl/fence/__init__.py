"""The fence: who owns a source, and which batch comes next. The only writer of `ingestion_checkpoints`.

A source is owned through its checkpoint's `epoch`. A claim raises it; each batch first advances the checkpoint, and
only where the epoch and the batch number are still the ones its run knows and the lease holds. Whatever the Redis
lock says, whichever process freezes or wakes: at most one run gets past that UPDATE.
"""
