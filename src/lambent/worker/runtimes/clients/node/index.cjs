'use strict';
// Lambent's runtime client for Node.js: what runs a function on Node.js 18 and newer. It behaves as AWS's own client
// of the same runtime does, byte for byte where a function's owner can see it; a differential test holds it to that.
// From nodejs24.x on AWS has no callbacks: `callback_handlers.cjs` is the older way, `promise_handlers.cjs` the newer.

const { patchConsole } = require('./log.cjs');
const { RuntimeApi } = require('./runtime_api.cjs');
const { Failures } = require('./failures.cjs');
const { loadHandler } = require('./handler.cjs');
const { resolveImportsLikeRequire } = require('./modules.cjs');

const FIRST_WITHOUT_CALLBACKS = 24;

function runtimeMajor() {
  const match = /nodejs(\d+)/.exec(process.env.AWS_EXECUTION_ENV ?? '');
  return match === null ? 0 : Number(match[1]);
}

async function main() {
  patchConsole();
  const address = process.env.AWS_LAMBDA_RUNTIME_API;
  const api = new RuntimeApi(address);
  const failures = new Failures(address);
  resolveImportsLikeRequire();
  const newer = runtimeMajor() >= FIRST_WITHOUT_CALLBACKS;
  let handler;
  try {
    handler = await failures.unlessNeverSettled(loadHandler(process.env.LAMBDA_TASK_ROOT, process.env._HANDLER, newer));
  } catch (error) {
    failures.duringInit(error, newer);
    return;
  }
  const { serve } = newer ? require('./promise_handlers.cjs') : require('./callback_handlers.cjs');
  serve(api, failures, handler);
}

main();
