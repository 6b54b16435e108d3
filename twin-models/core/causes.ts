/** By what something was decided. */
import type { Cause } from './types.ts'

export function byMessage(messageId: string | undefined): Cause {
  return messageId === undefined ? { by: 'message' } : { by: 'message', messageId }
}

export function byRequest(request: string, who: string): Cause {
  return { by: 'request', request, who }
}

export const BY_TIMER: Cause = { by: 'timer' }
