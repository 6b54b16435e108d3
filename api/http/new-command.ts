/** A command as it is written for a device, whoever wants it: a caller of REST, or a rule. */
import type { CommandRequest } from '../../twin-models/core/types.ts'
import type { DeviceModel } from '../../twin-models/model.ts'
import type { CommandIds, NewCommand } from '../command-ports.ts'
import { type CommandBody, checkCommand } from './command-check.ts'

export interface WantedCommand {
  tenant: string
  incarnation: number
  model: DeviceModel
  body: CommandBody
  ids: CommandIds
  by: string
  now: number
}

/** Throws what is wrong with it by the model. */
export function newCommand({ tenant, incarnation, model, body, ids, by, now }: WantedCommand): NewCommand {
  const { row, rules } = checkCommand(model, body, now)
  const wanted: CommandRequest = { id: ids.command, name: row.name, expiresAt: row.expiresAt, repeatable: row.repeatable, ...rules, by }
  const request = { id: ids.request, body: JSON.stringify(wanted) }
  return { ...row, id: ids.command, tenant, incarnation, requestedBy: by, request }
}
