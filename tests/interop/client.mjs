// A foreign client: decodes a `.creds` file with nats-io's own JWT library, connects, and consumes its own durable.
// Arguments: server URL, creds file, user name, public key of the account, files with operator and account JWTs.
// Prints one JSON document.
import { readFileSync } from "node:fs";
import { decode, parseCreds } from "@nats-io/jwt";
import { connect, credsAuthenticator } from "@nats-io/transport-node";
import { jetstream } from "@nats-io/jetstream";

const [url, credsFile, user, account, ...accountJwts] = process.argv.slice(2);
const creds = readFileSync(credsFile);

// Checks header, signature and shape, and that seed and JWT belong together; throws otherwise.
const parsed = await parseCreds(creds);
const claims = decode(parsed.jwt);
const issued = accountJwts.map((file) => decode(readFileSync(file, "utf8").trim()).nats.type);

const nc = await connect({
  servers: url,
  authenticator: credsAuthenticator(creds),
  inboxPrefix: `_INBOX_${user}`,
  reconnect: false,
});
const js = jetstream(nc, { apiPrefix: "FEED", checkAPI: false });
const consumer = await js.consumers.get("SIGNALS", `sub_${user}`);
const messages = await consumer.consume({ max_messages: 100, expires: 5000 });
const got = [];
for await (const message of messages) {
  got.push({ subject: message.subject, data: message.string(), signed: message.headers.get("Catalyst-Signature") });
  await message.ackAck();
  if (got.length === 3) break;
}
await messages.close();

// Somebody else's durable stays closed to this client as well.
let denied = false;
try {
  await js.consumers.get("SIGNALS", "sub_bob");
} catch {
  denied = true;
}
await nc.close();
console.log(JSON.stringify({
  name: claims.name,
  subject: claims.sub,
  isOfTheAccount: claims.nats.issuer_account === account,
  publicKey: parsed.uc.sub,
  issued,
  messages: got,
  denied,
}));
