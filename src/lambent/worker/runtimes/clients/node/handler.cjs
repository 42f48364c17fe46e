'use strict';
// From the handler's name to its function. `dir/file.export[.nested]`; the file is looked for as a CommonJS module,
// as an ES module, and last among the packages, in the order of AWS's client.

const fs = require('node:fs');
const { createRequire } = require('node:module');
const path = require('node:path');
const { pathToFileURL } = require('node:url');
const {
  CallbackHandlerDeprecated,
  HandlerNotFound,
  ImportModuleError,
  MalformedHandlerName,
  UserCodeSyntaxError,
} = require('./errors.cjs');
const { HttpResponseStream, STREAMING, isStreaming } = require('./response_stream.cjs');

const NO_CALLBACKS =
  'ERROR: AWS Lambda has removed support for callback-based function handlers starting with Node.js 24. You need to ' +
  'modify this function to use a supported handler signature to use Node.js 24 or later. For more information see ' +
  'https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html.';

// Named after AWS's file, which error messages show as the one that required the function's.
const requireFrom = createRequire(path.join(process.env.LAMBDA_RUNTIME_DIR, 'index.mjs'));

async function loadHandler(taskRoot, name, newer) {
  if (name.includes('..')) {
    throw new MalformedHandlerName(
      `'${name}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`,
    );
  }
  const base = path.basename(name);
  const directory = name.slice(0, name.indexOf(base));
  const parts = /^([^.]*)\.(.*)$/.exec(base);
  if (parts === null) {
    throw new MalformedHandlerName('Bad handler');
  }
  const exported = await loadModule(taskRoot, directory, parts[1]);
  const handler = parts[2].split('.').reduce((value, member) => value && value[member], exported);
  if (!handler) {
    throw new HandlerNotFound(`${name} is undefined or not exported`);
  }
  if (typeof handler !== 'function') {
    throw new HandlerNotFound(`${name} is not a function`);
  }
  if (newer && handler.length >= 3 && !isStreaming(handler)) {
    throw new CallbackHandlerDeprecated(NO_CALLBACKS);
  }
  return handler;
}

async function loadModule(taskRoot, directory, name) {
  globalThis.awslambda = {
    streamifyResponse(handler) {
      handler[STREAMING] = 'response';
      return handler;
    },
    HttpResponseStream,
  };
  try {
    const file = path.resolve(taskRoot, directory, name);
    return (await loadFile(file)) ?? requireFrom(requireFrom.resolve(name, { paths: [taskRoot, directory] }));
  } catch (error) {
    if (error instanceof SyntaxError) {
      throw new UserCodeSyntaxError(error);
    }
    if (error?.code === 'MODULE_NOT_FOUND') {
      throw new ImportModuleError(error);
    }
    throw error;
  }
}

async function loadFile(file) {
  if (fs.existsSync(file)) {
    return requireFrom(file);
  }
  if (fs.existsSync(`${file}.js`)) {
    return isModuleType(path.dirname(file)) ? import(pathToFileURL(`${file}.js`)) : requireFrom(`${file}.js`);
  }
  if (fs.existsSync(`${file}.mjs`)) {
    return import(pathToFileURL(`${file}.mjs`));
  }
  return fs.existsSync(`${file}.cjs`) ? requireFrom(`${file}.cjs`) : undefined;
}

/** Whether the nearest package.json says that .js files are ES modules. */
function isModuleType(folder) {
  if (folder.endsWith('/node_modules')) {
    return false;
  }
  const description = path.join(folder, 'package.json');
  if (fs.existsSync(description)) {
    try {
      return JSON.parse(fs.readFileSync(description, 'utf8'))?.type === 'module';
    } catch (error) {
      console.warn(`${description} cannot be read, it will be ignored for ES module detection purposes.`, error);
      return false;
    }
  }
  return folder !== '/' && isModuleType(path.dirname(folder));
}

module.exports = { loadHandler };
