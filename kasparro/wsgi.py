"""The web process. It refuses to start with a wrong setting, as every command does, and limits database waits."""

import io
import os

from django.core.management import call_command
from django.core.wsgi import get_wsgi_application

from api import database_deadlines

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kasparro.settings")

application = get_wsgi_application()
call_command("check", stdout=io.StringIO())
database_deadlines.install()
