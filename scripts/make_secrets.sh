#!/bin/sh
# Adds to .env the secrets that docker-compose.yml needs and .env lacks. Existing values stay, because a database keeps
# the password with which it was created. Needs only a shell.
set -eu
cd "$(dirname "$0")/.."
umask 077
touch .env
for name in SECRET_KEY POSTGRES_PASSWORD REDIS_PASSWORD; do
  if ! grep -q "^$name=." .env; then
    secret=$(head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n')
    { grep -v "^$name=" .env || true; echo "$name=$secret"; } > .env.new
    cat .env.new > .env
    rm .env.new
    echo "$name: generated"
  else
    echo "$name: already set"
  fi
done
chmod 600 .env
