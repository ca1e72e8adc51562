"""Beat as this project runs it: django-celery-beat's schedule in the database, and a sign that it is alive."""

from django_celery_beat.schedulers import DatabaseScheduler

from etl.supervision import liveness


class SigningScheduler(DatabaseScheduler):  # type: ignore[misc]
    """Signs with each tick, which comes every CELERY_BEAT_MAX_LOOP_INTERVAL seconds at least."""

    def tick(self, *args: object, **kwargs: object) -> float:
        liveness.sign(liveness.BEAT)
        return super().tick(*args, **kwargs)  # type: ignore[no-any-return]

    def close(self) -> None:
        super().close()
        liveness.sign_off(liveness.BEAT)
