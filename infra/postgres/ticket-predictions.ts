/** The risk that a repair left: predictions that tickets ask for, and what became of them. */
import { randomUUID } from 'node:crypto'
import type { TicketPredictions } from '../../activities/ticket-ports.ts'
import type { SeenPrediction } from '../../twin-models/core/ticket-types.ts'
import { CastorError } from '../../twin-models/errors.ts'
import type { Transaction } from './connect.ts'

const DETAIL = 300

export function createTicketPredictions(): TicketPredictions<Transaction> {
  return {
    async request(tx, { tenant, incarnation, device, model, requestedBy }) {
      const id = randomUUID()
      const { count } = await tx`
        insert into predictions (id, tenant, incarnation, device, model, requested_kind, requested_by)
        select ${id}::uuid, tenant, ${incarnation}::int, ${device}, name, 'ticket', ${requestedBy} from prediction_models
        where tenant = ${tenant} and name = ${model}`
      if (count === 0) throw new CastorError('invalid', `There is no prediction model ${model}.`)
      return id
    },
    async result(tx, tenant, id) {
      const [row] = await tx<Array<StoredAnswer>>`
        select status, probability, threshold, explanation, error from predictions where tenant = ${tenant} and id = ${id}`
      return row ? seen(row) : { status: 'failed', detail: 'It is not there any more.' }
    },
  }
}

interface StoredAnswer {
  status: SeenPrediction['status']
  probability: number | null
  threshold: number | null
  explanation: string | null
  error: string | null
}

function seen({ status, probability, threshold, explanation, error }: StoredAnswer): SeenPrediction {
  const detail = (error ?? explanation)?.slice(0, DETAIL)
  return {
    status,
    ...(probability !== null && { probability }),
    ...(threshold !== null && { threshold }),
    ...(detail !== undefined && { detail }),
  }
}
