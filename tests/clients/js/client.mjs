// Calls the operations it is told to, through the AWS SDK for JavaScript v3. The lines are described in
// tests/clients/program.py; endpoint, credentials and trust come from AWS's own environment variables.
// With the argument `http1` the SDK's handler for HTTP/1.1 takes the place of its default, HTTP/2.

import * as sdk from "@aws-sdk/client-kinesis";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { createInterface } from "node:readline";

const WAIT_SECONDS_MAX = 60;
const handlers = { http1: { requestHandler: new NodeHttpHandler() } };
const client = new sdk.KinesisClient(handlers[process.argv[2]] ?? {});
const waiters = {
  StreamExists: sdk.waitUntilStreamExists,
  StreamNotExists: sdk.waitUntilStreamNotExists,
};

function typed(name, value) {
  if (name === "Data") return Buffer.from(value, "base64");
  return name === "Timestamp" ? new Date(value) : value;
}

// A function, because `this[name]` is the value before Buffer turns itself into a list of numbers.
function plain(name, value) {
  if (name === "$metadata") return undefined;
  return this[name] instanceof Uint8Array ? Buffer.from(this[name]).toString("base64") : value;
}

function print(line) {
  process.stdout.write(JSON.stringify(line, plain) + "\n");
}

async function call({ id, operation, input }) {
  const wait = waiters[operation];
  if (wait) {
    await wait({ client, maxWaitTime: WAIT_SECONDS_MAX, minDelay: 1 }, input);
    return {};
  }
  const output = await client.send(new sdk[`${operation}Command`](input));
  if (!output.EventStream) return output;
  for await (const event of output.EventStream) print({ id, event: event.SubscribeToShardEvent });
  return {};
}

async function answer(line) {
  const request = JSON.parse(line, typed);
  try {
    print({ id: request.id, output: await call(request) });
  } catch (error) {
    const { name: code, message, constructor } = error;
    print({ id: request.id, error: { code, message, class: constructor.name } });
  }
}

createInterface({ input: process.stdin })
  .on("line", answer)
  // Streams of events that are still open would keep the process alive.
  .on("close", () => process.exit());
