"""Beat as this project runs it: django-celery-beat's schedule in the database, and a sign that it is alive."""

from django_celery_beat.schedulers import DatabaseScheduler

from etl import presence


class SigningScheduler(DatabaseScheduler):  # type: ignore[misc]
    """Signs with each tick, which comes every CELERY_BEAT_MAX_LOOP_INTERVAL seconds at least."""

    def tick(self, *args: object, **kwargs: object) -> float:
        presence.sign(presence.BEAT)
        return super().tick(*args, **kwargs)  # type: ignore[no-any-return]

    def close(self) -> None:
        super().close()
        presence.sign_off(presence.BEAT)
