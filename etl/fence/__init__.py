"""The fence: which run owns a source, and which batch comes next. The only writer of `ingestion_checkpoints`.

A source is owned through its checkpoint's `epoch`. A claim raises the epoch. Each batch first advances the checkpoint,
which succeeds only if epoch and batch number still have the values that its run knows and the lease has not ended.
Regardless of the Redis lock, and even if a frozen process resumes, at most one run gets past that UPDATE.
"""
