#!/usr/bin/env bash
# Proves that a running stack works, end to end: scripts/smoke_test.sh [BASE_URL]   (default http://127.0.0.1:8000)
#
# In the stack of docker-compose.yml: docker compose exec api bash scripts/smoke_test.sh
# Needs bash and the project's Python; scripts/smoke_test.py lists the environment variables.
set -euo pipefail
cd "$(dirname "$0")/.."

python=.venv/bin/python
[ -x "$python" ] || python=$(command -v python3) || { echo "Python is not installed."; exit 2; }
exec "$python" scripts/smoke_test.py "$@"
