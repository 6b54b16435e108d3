/** What REST writes, in memory, for the simulation: infra/postgres/requests.ts and commands.ts. Nothing is written for a device that is gone. */
import type { NewCommand } from '../../api/command-ports.ts'
import type { MemoryDatabase } from './memory-database.ts'

export interface NewRequest {
  id: string
  tenant: string
  incarnation: number
  kind: string
  /** JSON. */
  body: string
}

export function insertRequest(db: MemoryDatabase, { id, tenant, incarnation, kind, body }: NewRequest): boolean {
  if (db.devices.get(incarnation)?.tenant !== tenant) return false
  db.request(id, tenant, incarnation, kind, body)
  return true
}

/** The row and its request, under a key or not. 'claimed': the key stands for another command, or for this one already. */
export function insertCommand(db: MemoryDatabase, { request, ...command }: NewCommand, key?: string): 'written' | 'gone' | 'claimed' {
  const { tenant, incarnation } = command
  if (key !== undefined && db.idempotencyKeys.has(key)) return 'claimed'
  const device = db.devices.get(incarnation)
  if (device?.tenant !== tenant) return 'gone'
  db.command({ ...command, device: device.device })
  db.request(request.id, tenant, incarnation, 'command', request.body)
  if (key !== undefined) db.idempotencyKeys.set(key, JSON.stringify({ command: command.id, request: request.id }))
  return 'written'
}
