// Runs scenarios through stripe-node: `node run_node.mjs SCENARIO`.
//
// The same program as run_python.py in the client's own language: the environment holds
// CLIENT_ADDRESSES and CLIENT_KEYS, one JSON line is printed a step, and the exit code is 1 when one
// has not passed. The words of a scenario are told in scenario.py.

import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import Stripe from "stripe";
import { brokenPromises, resolved } from "./expectations.mjs";

const PAUSE_MS = 50;
const METHODS = { delete: "del" };
const CLASSES = { StripeConnectionError: "APIConnectionError" };

function clientOf(url, key) {
  const { hostname, port, protocol } = new URL(url);
  return new Stripe(key, { host: hostname, port, protocol: protocol.slice(0, -1), telemetry: false });
}

async function call(clients, step, saved) {
  const resource = clients[step.at ?? "service"][step.on ?? "customers"];
  const ids = step.id === undefined ? [] : [resolved(step.id, saved)];
  const words = [...ids, resolved(step.params ?? {}, saved), optionsOf(step, saved)];
  const method = METHODS[step.call] ?? step.call;
  try {
    if (step.all_pages) {
      const data = [];
      for await (const item of resource[method](...words)) {
        data.push(plain(item));
      }
      return { body: { data }, headers: {} };
    }
    const answer = await resource[method](...words);
    return { body: plain(answer), headers: { ...answer.lastResponse.headers } };
  } catch (raised) {
    if (!(raised instanceof Stripe.errors.StripeError)) {
      throw raised;
    }
    return { body: null, error: errorOf(raised), headers: { ...raised.headers } };
  }
}

function optionsOf(step, saved) {
  const given = resolved(step.options ?? {}, saved);
  const options = { maxNetworkRetries: given.max_network_retries ?? 0 };
  if (given.api_key === null) {
    options.authenticator = async () => {};
  } else if (given.api_key !== undefined) {
    options.apiKey = given.api_key;
  }
  if (given.idempotency_key !== undefined) {
    options.idempotencyKey = given.idempotency_key;
  }
  if (given.stripe_version !== undefined) {
    options.apiVersion = given.stripe_version;
  }
  return options;
}

function errorOf(raised) {
  const fields = {
    class: CLASSES[raised.type] ?? raised.type.replace(/^Stripe/, ""),
    code: raised.code,
    message: raised.message,
    param: raised.param,
    reason: raised.raw?.reason,
    request_id: raised.requestId,
    status: raised.statusCode,
    type: raised.rawType,
  };
  return plain(fields);
}

function plain(value) {
  return JSON.parse(JSON.stringify(value));
}

async function runScene(clients, { scene, steps }, given) {
  const saved = { ...given };
  let well = true;
  for (const step of steps) {
    const faults = await runStep(clients, step, saved);
    console.log(JSON.stringify({ scene, step: step.step, faults }));
    well &&= faults.length === 0;
  }
  return well;
}

async function runStep(clients, step, saved) {
  const times = step.times ?? 1;
  const data = [];
  for (let n = 0; n < times; n += 1) {
    saved.n = { body: n, headers: {} };
    const faults = await runOnce(clients, step, saved);
    if (faults.length > 0) {
      return faults;
    }
    data.push(saved[step.save]?.body);
  }
  if (step.save !== undefined && times > 1) {
    saved[step.save] = { body: { data }, headers: {} };
  }
  return [];
}

async function runOnce(clients, step, saved) {
  const deadline = performance.now() + (step.within_s ?? 0) * 1000;
  for (;;) {
    let faults;
    try {
      const outcome = await call(clients, step, saved);
      if (step.save !== undefined) {
        saved[step.save] = outcome;
      }
      faults = brokenPromises(step.expect ?? {}, outcome, saved);
    } catch (missing) {
      if (!(missing instanceof RangeError)) {
        throw missing;
      }
      return [missing.message];
    }
    if (faults.length === 0 || performance.now() >= deadline) {
      return faults;
    }
    await pause(PAUSE_MS);
  }
}

async function main(path) {
  const addresses = JSON.parse(process.env.CLIENT_ADDRESSES);
  const keys = JSON.parse(process.env.CLIENT_KEYS);
  const clients = Object.fromEntries(
    Object.entries(addresses).map(([name, url]) => [name, clientOf(url, keys.secret)]),
  );
  const given = {
    run: { body: randomBytes(4).toString("hex"), headers: {} },
    keys: { body: keys, headers: {} },
  };
  let well = true;
  for (const scene of JSON.parse(readFileSync(path, "utf8"))) {
    well = (await runScene(clients, scene, given)) && well;
  }
  return well ? 0 : 1;
}

// the client's own timers, of requests that were cut off, would keep the process for a minute more
process.exit(await main(process.argv[2]));
