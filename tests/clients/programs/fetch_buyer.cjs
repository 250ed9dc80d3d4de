// Buys an API call with the published JavaScript client and prints what it got and how it was paid.
//
// `node fetch_buyer.cjs KEYPAIR_FILE URL`; NODE_PATH names the packages, SOLANA_RPC_URL the node.
const { readFileSync } = require("node:fs");
const { createKeyPairSignerFromBytes } = require("@solana/kit");
const { wrapFetchWithPayment, x402Client } = require("@x402/fetch");
const { ExactSvmScheme } = require("@x402/svm/exact/client");
const { ExactSvmSchemeV1, NETWORKS } = require("@x402/svm/v1");

async function buy(keypairFile, url) {
  const signer = await createKeyPairSignerFromBytes(Uint8Array.from(JSON.parse(readFileSync(keypairFile, "utf8"))));
  const wallet = new x402Client();
  const node = { rpcUrl: process.env.SOLANA_RPC_URL };
  wallet.register("solana:*", new ExactSvmScheme(signer, node));
  for (const network of NETWORKS) {
    wallet.registerV1(network, new ExactSvmSchemeV1(signer, node));
  }
  const answer = await wrapFetchWithPayment(fetch, wallet)(url);
  const receipt = answer.headers.get("PAYMENT-RESPONSE") ?? answer.headers.get("X-PAYMENT-RESPONSE");
  const settlement = receipt ? JSON.parse(Buffer.from(receipt, "base64").toString()) : null;
  console.log(JSON.stringify({ status: answer.status, body: await answer.json(), settlement }));
}

buy(process.argv[2], process.argv[3]).catch((error) => {
  console.error(error);
  process.exit(1);
});
