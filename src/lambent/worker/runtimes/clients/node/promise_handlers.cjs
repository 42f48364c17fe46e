'use strict';
// Serves handlers as the runtimes from nodejs24.x on do: what a handler returns, or what its promise settles to, is the
// answer, and there are no callbacks.

const { documentOf, causeOf } = require('./errors.cjs');
const { contextOf, enter, serialised } = require('./invocation.cjs');
const { logError } = require('./log.cjs');
const { isStreaming, serveStreaming } = require('./response_stream.cjs');

async function serve(api, failures, handler) {
  const streaming = isStreaming(handler);
  for (;;) {
    const { headers, body } = await api.next();
    if (streaming) {
      await new Promise((again) => serveStreaming(api, failures, handler, headers, body, again));
    } else {
      await serveOnce(api, failures, handler, headers, body);
    }
  }
}

async function serveOnce(api, failures, handler, headers, body) {
  const requestId = enter(headers);
  try {
    const context = contextOf(headers);
    const event = JSON.parse(body.toString());
    const result = await failures.unlessNeverSettled((async () => handler(event, context))());
    api.respond(requestId, serialised(result));
  } catch (error) {
    logError('Invoke Error', error);
    api.fail(requestId, JSON.stringify(documentOf(error)), causeOf(error));
  }
}

module.exports = { serve };
