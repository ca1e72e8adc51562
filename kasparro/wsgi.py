"""The web process. It refuses to start with a wrong setting, as every command does, and limits database waits."""

import io
import logging
import os
import sys

from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.core.wsgi import get_wsgi_application

from api import database_deadlines

logger = logging.getLogger(__name__)

STOP_MASTER = 3
"""The exit status of a worker after which gunicorn ends, instead of starting another worker."""

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kasparro.settings")

application = get_wsgi_application()
try:
    call_command("check", stdout=io.StringIO())
except SystemCheckError as error:
    logger.error("%s", error)
    sys.exit(STOP_MASTER)
database_deadlines.install()
