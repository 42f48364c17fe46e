'use strict';
// `import` in a function finds what `require` does by NODE_PATH: its layers' packages and the AWS SDK. Node.js itself
// looks there for `require` alone. Older versions, without these hooks, find the SDK by a link above /var/task.

const module_ = require('node:module');
const { dirname } = require('node:path');
const { pathToFileURL } = require('node:url');

function resolveImportsLikeRequire() {
  if (typeof module_.registerHooks !== 'function') {
    return;
  }
  const parents = (process.env.NODE_PATH ?? '')
    .split(':')
    .filter((directory) => directory.endsWith('/node_modules'))
    .map((directory) => pathToFileURL(`${dirname(directory)}/import`).href);
  module_.registerHooks({
    resolve(specifier, context, nextResolve) {
      try {
        return nextResolve(specifier, context);
      } catch (error) {
        if (error.code === 'ERR_MODULE_NOT_FOUND' && /^[^./]/.test(specifier) && !specifier.includes(':')) {
          for (const parentURL of parents) {
            try {
              return nextResolve(specifier, { ...context, parentURL });
            } catch (other) {
              if (other.code !== 'ERR_MODULE_NOT_FOUND') {
                throw other;
              }
            }
          }
        }
        throw error;
      }
    },
  });
}

module.exports = { resolveImportsLikeRequire };
