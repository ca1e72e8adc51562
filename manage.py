#!/usr/bin/env python
"""The command line: `manage.py help` lists what it can do."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

from etl.execution.garbage_collection import relaxed_garbage_collection


@relaxed_garbage_collection()
def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kasparro.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"manage.py: {error}")


if __name__ == "__main__":
    main()
