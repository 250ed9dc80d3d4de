#!/bin/sh
# Writes secrets as files, one for each variable, which NAME_FILE points to. It prints no secret and writes no .env.
#
#   deploy/secrets.sh new DIRECTORY               random ones, for docker compose; what exists is kept
#   deploy/secrets.sh aws SECRET_ID DIRECTORY     from AWS Secrets Manager: one JSON object, needs aws and jq
#   deploy/secrets.sh vault PATH DIRECTORY        from HashiCorp Vault, key-value engine: needs vault and jq
#
# DIRECTORY belongs on a tmpfs, such as /run/pay402, except for docker compose, which mounts it again at every start.
set -eu
umask 077

fail() {
  echo "error: $1" >&2
  exit 1
}

write() { # NAME: standard input into DIRECTORY/name, whole or not at all
  file="$directory/$(printf '%s' "$1" | tr '[:upper:]' '[:lower:]')"
  cat > "$file.new"
  # Containers run as another user, so the files are readable for all, and the directory keeps others on this machine out.
  # The key that moves money is an exception: with docker compose, make user 10001 of the container its owner.
  case $file in
    */settlement_keypair) if [ -s "$file.new" ]; then mode=0400; else mode=0444; fi ;;
    *) mode=0444 ;;
  esac
  chmod "$mode" "$file.new"
  mv "$file.new" "$file"
}

once() { # NAME: as write, unless it is there
  if [ -e "$directory/$1" ]; then cat > /dev/null; else write "$1"; fi
}

random() {
  openssl rand -hex 32
}

new() {
  random | once postgres_password
  random | once redis_password
  random | once jwt_secret
  random | once webhook_key
  random | once grafana_password
  # Empty means that payouts are signed elsewhere. To put a key there: install -o 10001 -m 0400 wallet.json it
  printf '' | once settlement_keypair
  printf 'postgresql://pay402:%s@postgres:5432/pay402\n' "$(cat "$directory/postgres_password")" | write database_url
  # The login of each process; `pay402 migrate up` makes them.
  printf 'postgresql://pay402_of_api:%s@postgres:5432/pay402\n' "$(random)" | once api_database_url
  printf 'postgresql://pay402_of_indexer:%s@postgres:5432/pay402\n' "$(random)" | once indexer_database_url
  printf 'postgresql://pay402_of_worker:%s@postgres:5432/pay402\n' "$(random)" | once worker_database_url
  # With the user's name: redis-cli -u takes an address without one for another login.
  printf 'redis://default:%s@redis:6379/0\n' "$(cat "$directory/redis_password")" | write redis_url
  printf 'requirepass %s\n' "$(cat "$directory/redis_password")" | write redis_conf
  [ -e "$directory/solana_rpc_url" ] || echo "now write the address of your node into $directory/solana_rpc_url" >&2
}

each() { # one JSON object on standard input: every member into its file
  object=$(cat)
  printf '%s' "$object" | jq --exit-status 'type == "object" and length > 0' > /dev/null || fail "there is no JSON object; check the name of the secret."
  for name in $(printf '%s' "$object" | jq --raw-output 'keys[]'); do
    printf '%s' "$name" | grep -Eq '^[A-Za-z][A-Za-z0-9_]*$' || fail "$name is no name of a variable; rename it where it is stored."
    printf '%s' "$object" | jq --raw-output --arg name "$name" '.[$name]' | write "$name"
  done
}

[ $# -ge 2 ] || fail "say what to do: new DIRECTORY, aws SECRET_ID DIRECTORY, or vault PATH DIRECTORY."
action=$1
shift
for directory; do :; done # the last argument
mkdir -p "$directory"
chmod 0700 "$directory"

case $action:$# in
  new:1) new ;;
  aws:2)
    object=$(aws secretsmanager get-secret-value --secret-id "$1" --query SecretString --output text) || fail "AWS refuses; check the role and the name $1."
    printf '%s' "$object" | each
    ;;
  vault:2)
    object=$(vault kv get -format=json "$1" | jq '.data.data') || fail "Vault refuses; check VAULT_ADDR, the token and the path $1."
    printf '%s' "$object" | each
    ;;
  *) fail "say what to do: new DIRECTORY, aws SECRET_ID DIRECTORY, or vault PATH DIRECTORY." ;;
esac
