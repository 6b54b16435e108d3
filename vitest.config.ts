import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    // Starts the servers that tests share, each when it is first asked for, and takes them down.
    globalSetup: ['tests/support/servers.ts'],
    pool: 'forks',
    // More than cores: end-to-end tests mostly wait.
    maxWorkers: 3,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    teardownTimeout: 30_000,
  },
})
