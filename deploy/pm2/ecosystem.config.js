// The processes under PM2, after `pay402 migrate up`:
//
//   pm2 start deploy/pm2/ecosystem.config.js && pm2 save && pm2 startup
//
// PM2 starts the same commands as the units of systemd and restarts them when they end. Start it in a shell that has no
// DATABASE_URL and no other secret of its own: a variable goes before its file, and `pm2 save` would keep it.
const secrets = "/run/pay402"; // where deploy/secrets.sh writes them

const run = (command, settings, name = command) => ({
  name: `402pay-${name}`,
  script: "/opt/pay402/bin/pay402",
  args: command,
  interpreter: "none",
  exec_mode: "fork",
  cwd: "/var/lib/pay402",
  kill_timeout: 30000, // on SIGINT it answers or stores what is under way, and ends
  exp_backoff_restart_delay: 200,
  env: {
    APP_ENV: "production",
    PAY402_HOME: "/var/lib/pay402",
    LOG_DIR: "/var/log/402pay",
    LOG_LEVEL: "info",
    SOLANA_NETWORK: "mainnet-beta",
    DATABASE_URL_FILE: `${secrets}/${command}_database_url`,
    REDIS_URL_FILE: `${secrets}/redis_url`,
    SOLANA_RPC_URL_FILE: `${secrets}/solana_rpc_url`,
    JWT_SECRET_FILE: `${secrets}/jwt_secret`,
    ...settings,
  },
});

const webhooks = { WEBHOOK_KEY_FILE: `${secrets}/webhook_key` };

const api = (port) =>
  run(
    "api",
    {
      ...webhooks,
      HOST: "127.0.0.1",
      PORT: port, // deploy/nginx/402pay.conf has both
      TRUSTED_PROXIES: "127.0.0.1",
      ALLOWED_ORIGINS: "https://dashboard.example.com",
    },
    `api-${port}`,
  );

module.exports = { apps: [api(3001), api(3002), run("indexer", {}), run("worker", webhooks)] };
