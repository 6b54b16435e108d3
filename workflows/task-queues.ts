/** Task queues protect what they name: trouble in one leaves the others alone. */
export const TWINS_QUEUE = 'twins'
