#!/bin/sh
# Runs a command with the settings and secrets of the units. Installed as /usr/local/sbin/pay402, for root. Without it a
# command would find no settings and behave as on a developer's machine.
#
#   pay402 doctor
set -eu
umask 077
settings=/etc/pay402/settings
secrets=/run/pay402

fail() {
  echo "error: $1" >&2
  exit 1
}

[ -r "$settings" ] || fail "$settings cannot be read; run this as root, after deploy/systemd/settings.example was installed there."
[ -r "$secrets/database_url" ] || fail "$secrets holds no secrets to be read; run this as root, and systemctl start 402pay-secrets."

# Reads the file as systemd does: one name and value a line, with or without quotes, never expanded by a shell.
while IFS= read -r line || [ -n "$line" ]; do
  case $line in
    [A-Z]*=\"*\") value=${line#*=\"}; export "${line%%=*}=${value%\"}" ;;
    [A-Z]*=*) export "${line?}" ;;
  esac
done < "$settings"

for file in "$secrets"/*; do
  name=$(basename "$file" | tr '[:lower:]' '[:upper:]')
  export "${name}_FILE=$file"
done

export APP_ENV=production PAY402_HOME=/var/lib/pay402
exec /opt/pay402/bin/pay402 "$@"
