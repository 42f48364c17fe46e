'use strict';
// What ends the process: errors that nobody caught, a failed initialisation, and promises that can no longer settle.
// Also keeps what is to happen when the event loop is empty, which is how callback handlers end.

const { documentOf, causeOf, NodeJsExit, UnhandledPromiseRejection } = require('./errors.cjs');
const { logError, current } = require('./log.cjs');
const { RuntimeApi } = require('./runtime_api.cjs');

// Exit statuses of AWS's client, which callers see as `exit status N`; 13 is Node's own for an unsettled await.
const UNCAUGHT = 129;
const UNHANDLED = 128;
const UNSETTLED = 13;
const INIT_FAILED = 1;

const NEVER_SETTLED =
  'The Lambda runtime client detected an unexpected Node.js exit code. This is most commonly caused by a Promise ' +
  'that was never settled. For more information, see https://nodejs.org/docs/latest/api/process.html#exit-codes';

class Failures {
  #address;
  #whenIdle = null;

  constructor(address) {
    this.#address = address;
    process.on('uncaughtException', (error) => this.#end('Uncaught Exception', error, UNCAUGHT));
    process.on('unhandledRejection', (reason, promise) => {
      this.#end('Unhandled Promise Rejection', new UnhandledPromiseRejection(reason, promise), UNHANDLED);
    });
    process.on('beforeExit', () => {
      const action = this.#whenIdle;
      this.#whenIdle = null;
      action?.();
    });
  }

  /** Do this, once, when nothing is left that the event loop waits for. */
  whenIdle(action) {
    this.#whenIdle = action;
  }

  /** The result of a promise, unless the event loop is empty before: then the process ends with an error. */
  async unlessNeverSettled(promise) {
    this.whenIdle(() => this.neverSettled());
    try {
      return await promise;
    } finally {
      this.whenIdle(null);
    }
  }

  neverSettled() {
    const error = new NodeJsExit(NEVER_SETTLED);
    error.stack = `${error.name}: ${error.message}`;
    this.#end('Uncaught Exception', error, UNSETTLED);
  }

  duringInit(error, newer) {
    this.#end(newer ? 'Init Error' : 'Uncaught Exception', error, newer ? INIT_FAILED : UNCAUGHT);
  }

  async #end(title, error, status) {
    logError(title, error);
    const document = documentOf(error);
    const body = JSON.stringify(document);
    // On a connection of its own: on the other one the question for the next event may be waiting for its answer.
    const api = new RuntimeApi(this.#address);
    const told =
      current.requestId === undefined
        ? api.failInit(document.errorType, body)
        : api.fail(current.requestId, body, causeOf(error));
    await told.catch(() => {});
    process.exit(status);
  }
}

module.exports = { Failures };
