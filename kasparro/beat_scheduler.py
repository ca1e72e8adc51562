"""The scheduler of beat: django-celery-beat's schedule in the database, plus reports that beat is alive."""

from django_celery_beat.schedulers import DatabaseScheduler

from etl.supervision import liveness


class SigningScheduler(DatabaseScheduler):  # type: ignore[misc]
    """Reports with each tick that beat is alive. Ticks are at most CELERY_BEAT_MAX_LOOP_INTERVAL seconds apart."""

    def tick(self, *args: object, **kwargs: object) -> float:
        liveness.sign(liveness.BEAT)
        return super().tick(*args, **kwargs)  # type: ignore[no-any-return]

    def close(self) -> None:
        super().close()
        liveness.sign_off(liveness.BEAT)
