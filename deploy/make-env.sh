#!/bin/sh
# Write .env for docker-compose.yml: the domain that is given, and a new secret for each name that .env.example leaves empty.
set -eu
cd "$(dirname "$0")/.."
domain=${1:?the host name of the API, for example slipway.example.com}
file=${2:-.env}
umask 077
[ ! -e "$file" ] || { echo "$file is there already, and its secrets are in use: it stays as it is." >&2; exit 1; }
random() { head -c "$1" /dev/urandom; }
while IFS= read -r line; do
  case $line in
    SLIPWAY_DOMAIN=*) echo "SLIPWAY_DOMAIN=$domain" ;;
    FIELD_KEY=) echo "FIELD_KEY=$(random 32 | base64 | tr '+/' '-_')" ;;
    INSTALLATION_ID=) echo "INSTALLATION_ID=$(random 8 | od -An -tx1 | tr -d ' \n')" ;;
    [A-Z]*=) echo "$line$(random 32 | od -An -v -tx1 | tr -d ' \n')" ;;
    *) echo "$line" ;;
  esac
done < .env.example > "$file.new"
mv "$file.new" "$file"
echo "$file is written. Keep a copy: without FIELD_KEY the signing keys in the database cannot be read."
