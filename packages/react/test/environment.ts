import { builtinEnvironments, type Environment } from 'vitest/runtime';

/** The network of Node instead of happy-dom's: the tests use HTTP with a real server. */
const NETWORK = ['fetch', 'Request', 'Response', 'Headers', 'AbortController', 'AbortSignal', 'URL', 'URLSearchParams'];

/** A document of happy-dom with the network of Node. */
export default {
  name: 'dom-over-node',
  viteEnvironment: 'client',
  async setup(global, options) {
    const kept = NETWORK.map((name) => [name, global[name]] as const);
    const dom = await builtinEnvironments['happy-dom'].setup(global, options);
    for (const [name, value] of kept)
      Object.defineProperty(global, name, { value, configurable: true, writable: true });
    return dom;
  },
} satisfies Environment;
