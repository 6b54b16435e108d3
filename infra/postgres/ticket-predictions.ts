/** The risk that tickets ask for: predictions, and what became of them. */
import type { TicketPredictions } from '../../activities/ticket-ports.ts'
import type { Transaction } from './connect.ts'
import { findPrediction, requestPrediction } from './predictions.ts'

const DETAIL = 300

export function createTicketPredictions(): TicketPredictions<Transaction> {
  return {
    request: (tx, { requestedBy, ...asked }) => requestPrediction(tx, { ...asked, requestedBy: { kind: 'ticket', name: requestedBy } }),
    async result(tx, tenant, id) {
      const found = await findPrediction(tx, tenant, id)
      if (!found) return { status: 'failed', detail: 'It is not there any more.' }
      const { status, probability, threshold, explanation, error } = found
      const detail = (error ?? explanation)?.slice(0, DETAIL)
      return {
        status,
        ...(probability !== null && { probability }),
        ...(threshold !== null && { threshold }),
        ...(detail !== undefined && { detail }),
      }
    },
  }
}
