/** `npm start`, and each process alone: `npm start -- processor`. The version comes first: older Node may not even load the rest. */
import { enableCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'

const major = Number(process.versions.node.split('.')[0])
if (major !== 24) {
  console.error(
    `Castor runs on Node.js 24; this is ${process.versions.node}. Start it with npm (npm start, npm run …), which uses the Node.js 24 ` +
      'that npm ci installed, or install Node.js 24: https://nodejs.org/',
  )
  process.exit(1)
}
// Keeps what Node makes of our files: every start after the first compiles half as long. Where it cannot write, it goes without.
enableCompileCache(fileURLToPath(new URL('../../node_modules/.cache/node', import.meta.url)))
await import('./command-line.ts')
