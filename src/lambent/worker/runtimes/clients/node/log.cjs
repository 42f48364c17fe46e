'use strict';
// The console of a function: lines with time, request id and level, in the text or the JSON format, on one pipe.

const util = require('node:util');
const { logTextOf } = require('./errors.cjs');

const LEVELS = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'];
const METHODS = { trace: 'TRACE', debug: 'DEBUG', info: 'INFO', log: 'INFO', warn: 'WARN', error: 'ERROR' };

const current = { requestId: undefined, tenantId: undefined };
const isJson = process.env.AWS_LAMBDA_LOG_FORMAT?.toUpperCase() === 'JSON';

function patchConsole() {
  const write = isJson ? writeJson : writeText;
  const lowest = Math.max(LEVELS.indexOf(process.env.AWS_LAMBDA_LOG_LEVEL?.toUpperCase()), 0);
  for (const [method, level] of Object.entries(METHODS)) {
    console[method] = LEVELS.indexOf(level) >= lowest ? (...words) => write(level, words) : () => {};
  }
  console.fatal = (...words) => write('FATAL', words);
}

/** A line break inside an event is a carriage return: a newline would end it. */
function writeLine(text) {
  process.stdout.write(text.replaceAll('\n', '\r') + '\n');
}

function writeText(level, words) {
  // A call without arguments logs the one argument that it would have had.
  const said = words.length === 0 ? util.format(undefined) : util.format(...words);
  writeLine(`${new Date().toISOString()}\t${current.requestId}\t${level}\t${said}`);
}

function writeJson(level, words) {
  const record = { timestamp: new Date().toISOString(), level, requestId: current.requestId };
  if (current.tenantId != null) {
    record.tenantId = current.tenantId;
  }
  if (words.length <= 1) {
    record.message = words[0];
    try {
      writeLine(JSON.stringify(record, (_, value) => (value instanceof Error ? errorMembers(value) : value)));
    } catch {
      record.message = util.format(words[0]);
      writeLine(JSON.stringify(record));
    }
    return;
  }
  record.message = util.format(...words);
  const error = words.find((word) => word instanceof Error);
  if (error !== undefined) {
    const { errorType, errorMessage, stackTrace } = errorMembers(error);
    Object.assign(record, { errorType, errorMessage, stackTrace: stackTrace ?? [] });
  }
  writeLine(JSON.stringify(record));
}

function errorMembers(error) {
  return {
    errorType: error.constructor?.name ?? 'UnknownError',
    errorMessage: error.message,
    stackTrace: typeof error.stack === 'string' ? error.stack.split('\n') : error.stack,
    ...error,
  };
}

/** The runtime's own line about an error that it reports. */
function logError(title, thrown) {
  if (isJson) {
    console.error(thrown instanceof Error ? thrown : new Error(thrown));
  } else {
    console.error(title, logTextOf(thrown));
  }
}

module.exports = { patchConsole, logError, current };
