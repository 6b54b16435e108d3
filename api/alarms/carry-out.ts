/** Carries out one action: what it is for a device by its model as it is now, and what it writes. What cannot be so is said, and stays so. */
import { tooManyCommands } from '../../twin-models/core/commands.ts'
import type { WishRequest } from '../../twin-models/core/types.ts'
import { parseDuration } from '../../twin-models/durations.ts'
import { CastorError } from '../../twin-models/errors.ts'
import type { DeviceModel } from '../../twin-models/model.ts'
import { standingOf } from '../http/desired-document.ts'
import { newCommand } from '../http/new-command.ts'
import { modelGone, noDevice } from '../http/refusals.ts'
import { checkWish } from '../http/wish-check.ts'
import type { Models } from '../ports.ts'
import { actionId } from './action-id.ts'
import type { ActionAtWork, ActionHands, CarryOut, Outcome } from './ports.ts'
import { type RuleAction, ruleActionOf } from './rule-action.ts'

type Of<Kind extends RuleAction['kind']> = Extract<RuleAction, { kind: Kind }>

export function createCarryOut(models: Models, now: () => number): CarryOut {
  return async (work, hands) => {
    const action = ruleActionOf(work.action)
    if (!action) return { failed: 'The rule has no such action that this version of Castor knows.' }
    switch (action.kind) {
      case 'event':
        return tell(work, hands, action)
      case 'command':
        return command(work, hands, action)
      case 'wish':
        return wish(work, hands, action)
      case 'ticket':
        return ticket(work, hands, action)
      case 'predict':
        return predict(work, hands, action)
    }
  }

  async function command(work: ActionAtWork, hands: ActionHands, { name, input, device }: Of<'command'>): Promise<Outcome> {
    const { tenant } = work
    const { incarnation, model } = await known(work, hands, device)
    const ids = { command: work.id, request: actionId(work, 'request') }
    const body = { name, ...(input !== undefined && { input }) }
    const to = device ?? work.device
    // Its twin would refuse it. Which of them have ended by then is not known before: it is tried again.
    if (!(await hands.hasRoom(incarnation, model.actions.get(name)?.onlyLast ? name : undefined)))
      throw new CastorError('unavailable', tooManyCommands(to))
    const made = newCommand({ tenant, incarnation, model, body, ids, by: callerOf(work), now: now() })
    if (!(await hands.command(made))) throw noDevice(to)
    return { result: work.id, target: incarnation }
  }

  async function wish(work: ActionAtWork, hands: ActionHands, { desired, device }: Of<'wish'>): Promise<Outcome> {
    const { id, tenant } = work
    const { incarnation, model, decided } = await known(work, hands, device)
    checkWish(model, standingOf({ decided }), { patch: desired })
    const body: WishRequest = { patch: desired, by: callerOf(work) }
    if (!(await hands.request({ id, tenant, incarnation, kind: 'wish', body: JSON.stringify(body) }))) throw noDevice(device ?? work.device)
    return { result: id, target: incarnation }
  }

  /** Without `device`: that of the alarm, which another registration under its id is not. */
  async function known({ tenant, ...work }: ActionAtWork, hands: ActionHands, device: string | undefined): Promise<Known> {
    const twin = await hands.twin(tenant, device ?? work.device)
    if (!twin || (device === undefined && twin.incarnation !== work.incarnation)) throw noDevice(device ?? work.device)
    const model = models.find(twin.model)
    if (!model) throw modelGone(twin.device, twin.model)
    return { incarnation: twin.incarnation, decided: twin.decided, model }
  }
}

interface Known {
  incarnation: number
  decided: string
  model: DeviceModel
}

/** At the moment of the alarm's turn, so that it is the same event however late it is written. */
async function tell(work: ActionAtWork, hands: ActionHands, { name, data }: Of<'event'>): Promise<Outcome> {
  const { tenant, incarnation, device, rule, version, n, turn, at, alarm } = work
  const event = { kind: 'rule-event', at, name, ...(data !== undefined && { data }), rule, version, n, on: turn, ...alarm } as const
  await hands.tell({ tenant, incarnation, device, event })
  return { result: null }
}

async function ticket(work: ActionAtWork, hands: ActionHands, { title, onCall, predict: model }: Of<'ticket'>): Promise<Outcome> {
  if (!hands.openTicket) return { failed: 'Tickets are not available.' }
  const { id, tenant, incarnation, device, rule, version, n, alarm, verifyFor } = work
  const result = await hands.openTicket({
    ...{ id, tenant, incarnation, device, rule, ruleVersion: version, n, severity: alarm.severity, title, text: alarm.text, onCall },
    ...(model !== undefined && { predict: model }),
    verifyForMs: verifyFor === null ? undefined : (parseDuration(verifyFor) ?? 0),
  })
  if (result === undefined) throw noDevice(device)
  return { result }
}

async function predict(work: ActionAtWork, hands: ActionHands, { model }: Of<'predict'>): Promise<Outcome> {
  if (!hands.requestPrediction) return { failed: 'Predictions are not available.' }
  const { id, tenant, incarnation, device, rule } = work
  return { result: await hands.requestPrediction({ id, tenant, incarnation, device, model, requestedBy: { kind: 'rule', name: rule } }) }
}

/** As a command and a wish show who wanted them. */
function callerOf({ rule }: Pick<ActionAtWork, 'rule'>): string {
  return `rule ${rule}`
}
