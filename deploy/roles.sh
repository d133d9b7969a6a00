#!/bin/sh
# Run once by the database's container when its volume is empty: the logins of the processes.
# The migrations find the roles and give them their rights.
set -eu
psql --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" \
    --set=gateway="$GATEWAY_PASSWORD" --set=relay="$RELAY_PASSWORD" \
    --set=projector="$PROJECTOR_PASSWORD" --set=auditor="$AUDITOR_PASSWORD" <<'SQL'
CREATE ROLE chaching_gateway LOGIN PASSWORD :'gateway';
CREATE ROLE chaching_relay LOGIN PASSWORD :'relay';
CREATE ROLE chaching_projector LOGIN PASSWORD :'projector';
CREATE ROLE chaching_auditor LOGIN PASSWORD :'auditor';
SQL
