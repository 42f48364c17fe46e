'use strict';
// Serves handlers as the runtimes before nodejs24.x do: async functions, callbacks, and the context's done, succeed and
// fail. A callback's result is sent when the event loop is empty, unless the handler turns that off.

const { documentOf, causeOf } = require('./errors.cjs');
const { contextOf, enter, serialised } = require('./invocation.cjs');
const { logError } = require('./log.cjs');
const { isStreaming, serveStreaming } = require('./response_stream.cjs');

function serve(api, failures, handler) {
  const once = isStreaming(handler) ? serveStreaming : serveOnce;
  const again = async () => {
    const { headers, body } = await api.next();
    once(api, failures, handler, headers, body, again);
  };
  again();
}

function serveOnce(api, failures, handler, headers, body, again) {
  const requestId = enter(headers);
  const ending = endingOf(api, failures, requestId, again);
  // A handler that neither returns a promise nor calls back has answered nothing.
  failures.whenIdle(() => ending.complete(null));
  try {
    const context = Object.defineProperties(ending.members, Object.getOwnPropertyDescriptors(contextOf(headers)));
    const result = handler(JSON.parse(body.toString()), context, ending.callback);
    if (typeof result?.then === 'function') {
      failures.whenIdle(() => failures.neverSettled());
      result.then(context.succeed, context.fail).catch(context.fail);
    }
  } catch (error) {
    ending.callback(error);
  }
}

/** The ways in which a handler can end an invocation, of which the first counts. */
function endingOf(api, failures, requestId, again) {
  let waits = true;
  let ended = false;

  const fail = (error) => {
    failures.whenIdle(null);
    logError('Invoke Error', error);
    api.fail(requestId, JSON.stringify(documentOf(error)), causeOf(error));
    again();
  };
  const complete = (result) => {
    failures.whenIdle(null);
    api.respond(requestId, serialised(result));
    again();
  };
  const isError = (error) => error !== undefined && error !== null;
  const done = (error, result) => (isError(error) ? fail(error) : complete(result));
  const first = (end) => (error, result) => {
    if (!ended) {
      end(error, result);
      ended = true;
    }
  };
  return {
    complete,
    callback: first((error, result) => {
      if (isError(error)) {
        fail(error);
      } else if (waits) {
        failures.whenIdle(() => complete(result));
      } else {
        complete(result);
      }
    }),
    members: {
      get callbackWaitsForEmptyEventLoop() {
        return waits;
      },
      set callbackWaitsForEmptyEventLoop(value) {
        waits = value;
      },
      succeed: first((result) => done(null, result)),
      fail: first((error) => done(error ?? 'handled', null)),
      done: first(done),
    },
  };
}

module.exports = { serve };
