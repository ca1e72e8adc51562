"""The shop's own Celery app."""

import os

from celery import Celery

from etl.worker import connect  # kasparro

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="SHOP_CELERY")
app.autodiscover_tasks()
connect(app)  # kasparro
