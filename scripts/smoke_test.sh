#!/usr/bin/env bash
# Proves that a running stack works, end to end: scripts/smoke_test.sh [BASE_URL]   (default http://127.0.0.1:8000)
#
# Also: docker compose exec api bash scripts/smoke_test.sh
# Needs bash and the project's Python; what can be set in the environment stands in scripts/smoke_test.py.
set -euo pipefail
cd "$(dirname "$0")/.."

python=.venv/bin/python
[ -x "$python" ] || python=$(command -v python3) || { echo "Python is needed."; exit 2; }
exec "$python" scripts/smoke_test.py "$@"
