#!/bin/sh
# Makes the role that the hosts use, and its schema. The image of PostgreSQL runs this once,
# when the database is made.
set -eu
psql --set=ON_ERROR_STOP=1 --username="${POSTGRES_USER:-postgres}" --dbname="$POSTGRES_DB" \
    --set=password="$(cat "${PASSWORD_FILE:-/run/secrets/database-password}")" --set=database="$POSTGRES_DB" <<'SQL'
CREATE ROLE fantascope_host LOGIN PASSWORD :'password';
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO fantascope_host;
CREATE SCHEMA fantascope AUTHORIZATION fantascope_host;
ALTER ROLE fantascope_host IN DATABASE :"database" SET search_path = fantascope;
GRANT pg_read_all_stats TO fantascope_host;
SQL
