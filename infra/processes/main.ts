/** `npm start`, and each process alone: `npm start -- processor`. The version comes first: older Node may not even load the rest. */
const major = Number(process.versions.node.split('.')[0])
if (major !== 24) {
  console.error(
    `Castor runs on Node.js 24; this is ${process.versions.node}. Start it with npm (npm start, npm run …), which uses the Node.js 24 ` +
      'that npm ci installed, or install Node.js 24: https://nodejs.org/',
  )
  process.exit(1)
}
await import('./command-line.ts')

export {}
