// Greets, and asks Lambent about itself through the AWS SDK. Nothing is bundled and nothing configured: the SDK, the
// endpoint, the region and the credentials are there.
import { GetFunctionConfigurationCommand, LambdaClient } from "@aws-sdk/client-lambda";

const client = new LambdaClient();

export const handler = async (event, context) => {
  const self = await client.send(new GetFunctionConfigurationCommand({ FunctionName: context.functionName }));
  console.log(`greeting ${event.name ?? "nobody in particular"}`);
  return {
    greeting: `Hello, ${event.name ?? "world"}!`,
    node: process.versions.node,
    handler: self.Handler,
    memory: self.MemorySize,
  };
};
