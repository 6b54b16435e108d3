/** All workflows: what the worker bundles. */
export { bulkChange } from './bulk-change.ts'
export { deviceTwin } from './device-twin.ts'
export { prediction } from './prediction.ts'
export { rollout } from './rollout.ts'
export { maintenanceTicket } from './ticket.ts'
export { webhookDelivery } from './webhook-delivery.ts'
