/** Task queues protect what they name: trouble in one leaves the others alone. */
export const TWINS_QUEUE = 'twins'
/** Bulk changes, and other work over many devices. */
export const OPERATIONS_QUEUE = 'operations'
/** Deliveries of webhooks in trouble: slow receivers hold up nothing else. */
export const WEBHOOKS_QUEUE = 'webhooks'
/** Predictions: slow model servers hold up nothing else. */
export const INFERENCE_QUEUE = 'inference'
