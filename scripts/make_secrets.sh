#!/bin/sh
# Writes into .env the secrets that docker-compose.yml wants and .env lacks; what is there stays as it is: a database
# keeps the password with which it was made. Needs nothing but a shell.
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
    echo "$name: made"
  else
    echo "$name: is there"
  fi
done
chmod 600 .env
