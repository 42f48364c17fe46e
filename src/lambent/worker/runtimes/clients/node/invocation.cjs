'use strict';
// One invocation as its handler sees it: the event, and the members of the context that every kind of handler has.

const { current } = require('./log.cjs');

/** Raises what JSON.parse raises, for an event or a header that is not JSON. */
function contextOf(headers) {
  const deadline = headers['lambda-runtime-deadline-ms'];
  return {
    functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: parsed(headers['lambda-runtime-client-context'], 'ClientContext'),
    identity: parsed(headers['lambda-runtime-cognito-identity'], 'CognitoIdentity'),
    invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
    awsRequestId: headers['lambda-runtime-aws-request-id'],
    tenantId: headers['lambda-runtime-aws-tenant-id'],
    getRemainingTimeInMillis: () => deadline - Date.now(),
  };
}

function parsed(text, name) {
  if (text === undefined) {
    return undefined;
  }
  try {
    // Header bytes are UTF-8, read as Latin-1.
    return JSON.parse(Buffer.from(text, 'latin1').toString());
  } catch (error) {
    throw new Error(`Cannot parse ${name} as json: ${error}`);
  }
}

/** Put the invocation where logs and the X-Ray SDK look for it. Returns its request id. */
function enter(headers) {
  current.requestId = headers['lambda-runtime-aws-request-id'];
  current.tenantId = headers['lambda-runtime-aws-tenant-id'];
  const trace = headers['lambda-runtime-trace-id'];
  if (trace === undefined) {
    delete process.env._X_AMZN_TRACE_ID;
  } else {
    process.env._X_AMZN_TRACE_ID = trace;
  }
  return current.requestId;
}

function serialised(result) {
  try {
    return JSON.stringify(result) ?? 'null';
  } catch {
    throw new Error('Unable to stringify response body');
  }
}

module.exports = { contextOf, enter, serialised };
