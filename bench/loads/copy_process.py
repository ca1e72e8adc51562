"""A bare process with one session, for COPYs: `copy_process.py URL SCRIPT`, without Django and the project's code.

Each statement of the script is committed by itself, unless the script opens a transaction. A line `-- from PATH`
before a COPY names the file that it reads.
"""

import re
import sys
from contextlib import closing
from pathlib import Path

import psycopg2

STATEMENT = re.compile(r"(?:^-- from (?P<path>[^\n]+)\n)?(?P<text>^[A-Z].*?;)$", re.MULTILINE | re.DOTALL)


def main() -> None:
    url, script = sys.argv[1:]
    with closing(psycopg2.connect(url)) as session, session.cursor() as cursor:
        session.autocommit = True
        for statement in STATEMENT.finditer(Path(script).read_text()):
            if statement["path"]:
                with Path(statement["path"]).open("rb") as file:
                    cursor.copy_expert(statement["text"], file, 1 << 20)
            else:
                cursor.execute(statement["text"])


if __name__ == "__main__":
    main()
