import { defineConfig, mergeConfig } from 'vitest/config';
import base from './vitest.config.js';

// Ten outages, one of them two minutes long. They take a quarter of an hour, so they are not part of the ordinary run.
export default mergeConfig(
  { ...base, test: { ...base.test, include: [] } },
  defineConfig({ test: { include: ['soak/**/*.test.ts'], testTimeout: 40 * 60_000 } }),
);
