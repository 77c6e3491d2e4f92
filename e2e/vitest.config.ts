import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts', 'web/**/*.test.ts'],
    globalSetup: ['setup.ts'],
    // Servers, media and a browser share two cores: so one file at a time, and deadlines for a loaded machine.
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 90_000,
    bail: 0,
    reporters: process.env.CI ? ['verbose'] : ['default'],
  },
});
