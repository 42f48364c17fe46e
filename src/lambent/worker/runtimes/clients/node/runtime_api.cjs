'use strict';
// The Runtime API's client: one kept connection, requests answered in order, so that a response and the question for
// the next event leave in one packet. The connection keeps the process alive only while an answer is awaited.
// It reads the HTTP that a Runtime API speaks: answers with a Content-Length, headers in Latin-1.

const net = require('node:net');

const BASE = '/2018-06-01/runtime';
const CAUSE_LIMIT = 1024 * 1024;
const HEAD_END = Buffer.from('\r\n\r\n');

class RuntimeApi {
  #host;
  #port;
  #socket = null;
  #waiting = [];
  #chunks = [];
  #received = 0;
  #needed = 0;

  constructor(address) {
    const colon = address.lastIndexOf(':');
    this.#host = address.slice(0, colon);
    this.#port = Number(address.slice(colon + 1));
  }

  /** The next event: `{headers, body}`, header names in lower case. Waits without a limit. */
  async next() {
    const answer = await this.#ask(`GET ${BASE}/invocation/next HTTP/1.1`, {}, null);
    if (answer.status !== 200) {
      throw new Error(`the Runtime API answered ${answer.status} to the question for the next event`);
    }
    return answer;
  }

  respond(requestId, body, contentType = 'application/json') {
    return this.#post(`/invocation/${encodeURIComponent(requestId)}/response`, body, { 'Content-Type': contentType });
  }

  /** `cause` is a JSON text for X-Ray, or empty. The type of the error is told by its document alone, as AWS's does. */
  fail(requestId, body, cause) {
    const headers = { 'Content-Type': 'application/json' };
    if (cause !== '' && cause.length < CAUSE_LIMIT) {
      headers['Lambda-Runtime-Function-XRay-Error-Cause'] = cause.replace(/[^\x20-\x7e]/g, escaped);
    }
    return this.#post(`/invocation/${encodeURIComponent(requestId)}/error`, body, headers);
  }

  failInit(errorType, body) {
    return this.#post('/init/error', body, {
      'Content-Type': 'application/json',
      'Lambda-Runtime-Function-Error-Type': String(errorType).replace(/[^\x20-\x7e]/g, '?'),
    });
  }

  #post(path, body, headers) {
    return this.#ask(`POST ${BASE}${path} HTTP/1.1`, headers, Buffer.isBuffer(body) ? body : Buffer.from(body));
  }

  #ask(line, headers, body) {
    const socket = this.#connected();
    let head = `${line}\r\nHost: ${this.#host}:${this.#port}\r\n`;
    for (const [name, value] of Object.entries(headers)) {
      head += `${name}: ${value}\r\n`;
    }
    if (body !== null) {
      head += `Content-Length: ${body.length}\r\n`;
    }
    if (socket.writableCorked === 0) {
      // What is asked until the running code has come to its end goes in one write.
      socket.cork();
      process.nextTick(() => socket.uncork());
    }
    socket.write(head + '\r\n', 'latin1');
    if (body !== null) {
      socket.write(body);
    }
    socket.ref();
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  #connected() {
    if (this.#socket === null) {
      const socket = net.connect({ host: this.#host, port: this.#port, noDelay: true });
      socket.on('data', (chunk) => this.#receive(chunk));
      socket.on('error', () => {});
      socket.on('close', () => this.#lost());
      this.#socket = socket;
    }
    return this.#socket;
  }

  #lost() {
    this.#socket = null;
    this.#chunks = [];
    this.#received = this.#needed = 0;
    for (const { reject } of this.#waiting.splice(0)) {
      reject(new Error('the Runtime API has closed the connection'));
    }
  }

  #receive(chunk) {
    this.#chunks.push(chunk);
    this.#received += chunk.length;
    while (this.#received > 0 && this.#received >= this.#needed) {
      const data = this.#chunks.length === 1 ? this.#chunks[0] : Buffer.concat(this.#chunks);
      this.#chunks = [data];
      const end = data.indexOf(HEAD_END);
      if (end < 0) {
        this.#needed = data.length + 1;
        return;
      }
      const { status, headers } = parsedHead(data.toString('latin1', 0, end));
      const start = end + HEAD_END.length;
      const total = start + Number(headers['content-length'] ?? 0);
      if (data.length < total) {
        this.#needed = total;
        return;
      }
      this.#chunks = data.length > total ? [data.subarray(total)] : [];
      this.#received = data.length - total;
      this.#needed = 0;
      const { resolve } = this.#waiting.shift();
      if (this.#waiting.length === 0) {
        this.#socket.unref();
      }
      resolve({ status, headers, body: data.subarray(start, total) });
    }
  }
}

function parsedHead(text) {
  const [first, ...lines] = text.split('\r\n');
  const headers = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  return { status: Number(first.split(' ')[1]), headers };
}

/** A character in JSON that a header can not carry. */
function escaped(character) {
  return '\\u' + character.charCodeAt(0).toString(16).padStart(4, '0');
}

module.exports = { RuntimeApi };
