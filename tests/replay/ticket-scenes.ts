/** Tickets as rules open them, and operators and others steer them. Their twins are played by SQL. */
import { randomUUID } from 'node:crypto'
import { DEFAULT_DEADLINES } from '../../twin-models/core/ticket-types.ts'
import { TICKET_ASKED_SIGNAL, type TicketAsked } from '../../workflows/messages.ts'
import { until } from '../support/wait.ts'
import { begun } from '../workflows/tickets.ts'
import type { Scenes, Stage } from './recordings.ts'

type More = Parameters<typeof begun>[2]
const ticketOn = ({ sql, tickets }: Stage, more: More = {}) => begun(sql, tickets, more)
const QUICK: More = { deadlines: { ...DEFAULT_DEADLINES, major: { acceptMs: 1_000, doneMs: 3_600_000 } } }
const BY = { by: 'ann' }

/** A ticket that is talked about so much that its run continues as new. */
async function continued(stage: Stage) {
  const ticket = await ticketOn(stage)
  const { runId } = await ticket.handle.describe()
  await ticket.becomes('notified')
  const current = stage.tickets.client.workflow.getHandle(ticket.handle.workflowId)
  await until(async () => {
    await ticket.steer('comment', { ...BY, note: 'Still waiting for the part' })
    return (await current.describe()).runId !== runId
  }, 'another run')
  return { ...ticket, current, runId }
}

export const ticketScenes: Scenes = {
  'a ticket is repaired and closed': async (stage) => {
    const { handle, becomes, steer, alarms, look, story } = await ticketOn(stage)
    await becomes('notified')
    await steer('accept', BY)
    await steer('schedule', { ...BY, at: new Date(Date.now() + 1_000).toISOString() })
    await until(async () => (await story()).includes('reminded'), 'it reminds of its plan')
    await steer('start', { ...BY, for: '2h' })
    await alarms.clear()
    await look()
    await steer('done', BY)
    await handle.result()
    return handle
  },
  'a ticket that nobody takes is escalated and cancelled': async (stage) => {
    const { handle, becomes, steer, state } = await ticketOn(stage, QUICK)
    await becomes('reassigned')
    await becomes('escalated')
    await until(async () => (await state()).waits > 2, 'it goes round again')
    await steer('cancel', BY)
    await handle.result()
    return handle
  },
  'a ticket relapses and is predicted': async (stage) => {
    stage.tickets.recorder.predictions.set('slow', { status: 'failed', detail: 'refused' })
    const { handle, becomes, steer, alarms, look, state } = await ticketOn(stage, { predict: 'slow' })
    await becomes('notified')
    stage.tickets.recorder.predictions.set('slow', { status: 'waiting' })
    await alarms.clear()
    await steer('done', BY)
    await becomes('verifying')
    await alarms.raise('critical')
    await look()
    await becomes('reopened')
    await steer('reopen', { ...BY, note: 'No' }).catch(() => {})
    const asks: TicketAsked['asks'] = [
      { id: randomUUID(), ask: { action: 'done', by: 'bob' }, origin: { via: 'system', system: 'erp', messageId: 'm-1', at: Date.now() } },
      { id: randomUUID(), ask: { action: 'accept', by: 'bob' }, origin: { via: 'link' } },
    ]
    await alarms.clear()
    await handle.signal(TICKET_ASKED_SIGNAL, { asks })
    await until(async () => (await state()).prediction, 'its risk is asked for')
    stage.tickets.recorder.predictions.set('slow', { status: 'answered', probability: 0.1, threshold: 0.5 })
    await handle.result()
    return handle
  },
  'a ticket ends with its device': async (stage) => {
    const { handle, becomes, steer, look, device } = await ticketOn(stage)
    await becomes('notified')
    await steer('start', BY)
    await stage.sql`delete from devices where tenant = 'demo' and device = ${device}`
    await look()
    await handle.result()
    return handle
  },
  'a ticket continues as new': async (stage) => {
    const { handle, runId } = await continued(stage)
    return { workflowId: handle.workflowId, runId }
  },
  'a ticket goes on after it': async (stage) => {
    const { current, steer, alarms } = await continued(stage)
    await alarms.clear()
    await steer('done', BY)
    await current.result()
    return current
  },
}
