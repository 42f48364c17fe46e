'use strict';
// Handlers that write their answer to a stream. The answer is collected and sent whole when the stream has ended.

const { Writable } = require('node:stream');
const { documentOf, causeOf, InvalidStreamingOperation, MalformedStreamingHandler } = require('./errors.cjs');
const { contextOf, enter } = require('./invocation.cjs');
const { logError } = require('./log.cjs');

const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming');
const PRELUDE_TYPE = 'application/vnd.awslambda.http-integration-response';
const PRELUDE_END = new Uint8Array(8);

class ResponseStream extends Writable {
  contentType = 'application/octet-stream';
  chunks = [];
  #written = false;

  setContentType(contentType) {
    if (this.#written) {
      throw new InvalidStreamingOperation('Cannot set content-type, too late.');
    }
    this.contentType = contentType;
  }

  write(chunk, encoding, callback) {
    if (!this.#written) {
      this.#written = true;
      this._onBeforeFirstWrite?.((first) => super.write(first));
    }
    const isData = typeof chunk === 'string' || chunk instanceof Uint8Array;
    return super.write(isData ? chunk : JSON.stringify(chunk), encoding, callback);
  }

  end(chunk, encoding, callback) {
    // Through `write`, so that what precedes the first write does so here too.
    if (chunk !== undefined && chunk !== null && typeof chunk !== 'function') {
      this.write(chunk, typeof encoding === 'string' ? encoding : undefined);
      return super.end(typeof encoding === 'function' ? encoding : callback);
    }
    return super.end(chunk, encoding, callback);
  }

  _write(chunk, _encoding, callback) {
    this.chunks.push(chunk);
    callback();
  }
}

/** The global `awslambda.HttpResponseStream`: status and headers of an HTTP answer ahead of its body. */
const HttpResponseStream = {
  from(stream, prelude) {
    stream.setContentType(PRELUDE_TYPE);
    stream._onBeforeFirstWrite = (write) => {
      write(JSON.stringify(prelude));
      write(PRELUDE_END);
    };
    return stream;
  },
};

function isStreaming(handler) {
  const mark = handler[STREAMING];
  if (mark === undefined || mark === null || mark === false) {
    return false;
  }
  if (mark !== 'response') {
    throw new MalformedStreamingHandler('Only response streaming is supported.');
  }
  return true;
}

async function serveStreaming(api, failures, handler, headers, body, again) {
  const requestId = enter(headers);
  const stream = new ResponseStream();
  let waits = true;
  const context = {
    get callbackWaitsForEmptyEventLoop() {
      return waits;
    },
    set callbackWaitsForEmptyEventLoop(value) {
      waits = value;
    },
  };
  try {
    Object.assign(context, contextOf(headers));
    const returned = handler(JSON.parse(body.toString()), stream, context);
    if (typeof returned?.then !== 'function') {
      throw new Error('Streaming does not support non-async handlers.');
    }
    const result = await failures.unlessNeverSettled(finished(returned, stream));
    if (result !== undefined) {
      console.warn('Streaming handlers ignore return values.');
    }
    api.respond(requestId, Buffer.concat(stream.chunks), stream.contentType);
  } catch (error) {
    logError('Invoke Error', error);
    api.fail(requestId, JSON.stringify(documentOf(error)), causeOf(error));
  }
  again();
}

async function finished(returned, stream) {
  const result = await returned;
  if (!stream.writableFinished) {
    await new Promise((resolve, reject) => stream.once('finish', resolve).once('error', reject));
  }
  return result;
}

module.exports = { HttpResponseStream, STREAMING, isStreaming, serveStreaming };
