'use strict';
// Errors of the runtime itself, and the documents that tell of any error: to the caller, to the log, to X-Ray.

const util = require('node:util');

class ImportModuleError extends Error {}
class HandlerNotFound extends Error {}
class MalformedHandlerName extends Error {}
class MalformedStreamingHandler extends Error {}
class UserCodeSyntaxError extends Error {}
class InvalidStreamingOperation extends Error {}
class CallbackHandlerDeprecated extends Error {}
class NodeJsExit extends Error {}
class UnhandledPromiseRejection extends Error {
  constructor(reason, promise) {
    super(reason);
    this.reason = reason;
    this.promise = promise;
  }
}

const OWN = {
  ImportModuleError,
  HandlerNotFound,
  MalformedHandlerName,
  MalformedStreamingHandler,
  UserCodeSyntaxError,
  InvalidStreamingOperation,
  CallbackHandlerDeprecated,
  NodeJsExit,
  UnhandledPromiseRejection,
};
for (const [name, kind] of Object.entries(OWN)) {
  kind.prototype.name = `Runtime.${name}`;
}

function looksLikeError(thrown) {
  return ['name', 'message', 'stack'].every((member) => thrown && thrown[member] && typeof thrown[member] === 'string');
}

/** DEL can not be in the headers that the document's parts go to. */
function printable(text) {
  return text?.replaceAll('\x7f', '%7F');
}

/** What the caller is told of anything that was thrown. */
function documentOf(thrown) {
  try {
    if (util.types.isNativeError(thrown) || looksLikeError(thrown)) {
      return {
        errorType: printable(thrown.name),
        errorMessage: printable(thrown.message),
        trace: printable(thrown.stack).split('\n'),
      };
    }
    return { errorType: typeof thrown, errorMessage: thrown.toString(), trace: [] };
  } catch {
    return {
      errorType: 'handled',
      errorMessage:
        'callback called with Error argument, but there was a problem while retrieving one or more of its message, ' +
        'name, and stack',
    };
  }
}

/** What the text log tells of it, errors within it included. */
function logTextOf(thrown) {
  const error = thrown instanceof Error ? thrown : new Error(thrown);
  try {
    return '\t' + JSON.stringify(error, (_, value) => (value instanceof Error ? withOwnMembers(value) : value));
  } catch {
    return '\t' + JSON.stringify(documentOf(error));
  }
}

function withOwnMembers(error) {
  const members = { errorType: error.name, errorMessage: error.message, code: error.code, ...error };
  if (typeof error.stack === 'string') {
    members.stack = error.stack.split('\n');
  }
  return members;
}

/** The X-Ray cause as JSON, or nothing where there is no error to tell of. */
function causeOf(thrown) {
  try {
    const stack = thrown.stack ? printable(thrown.stack).split('\n').slice(1).map(frameOf) : [];
    return JSON.stringify({
      working_directory: process.cwd(),
      exceptions: [{ type: printable(thrown.name), message: printable(thrown.message), stack }],
      paths: [...new Set(stack.map((frame) => frame.path))],
    });
  } catch {
    return '';
  }
}

/** `    at label (path:line:column)` in its parts. */
function frameOf(text) {
  const bare = text.trim().replace(/[()]/g, '');
  const place = bare.slice(bare.indexOf(' ') + 1);
  const space = place.lastIndexOf(' ');
  const [path, line] = place.slice(space > 0 ? space + 1 : 0).split(':');
  return { path, line: parseInt(line, 10), label: (space >= 0 && place.slice(0, space)) || 'anonymous' };
}

module.exports = { ...OWN, documentOf, logTextOf, causeOf };
