import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    environment: './test/environment.ts',
    include: ['test/**/*.test.{ts,tsx}'],
    setupFiles: ['test/setup.ts'],
    testTimeout: 30_000,
    // Two cores are shared with the server's own tests.
    maxWorkers: 2,
  },
});
