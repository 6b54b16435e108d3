/** All workflows: what the worker bundles. */
export { deviceTwin } from './device-twin.ts'
