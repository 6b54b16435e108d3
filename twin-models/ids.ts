/** Ids: their grammar, and the builders and parsers of Temporal workflow ids, side by side. */

/** Device and message ids. Tenants have no `:` (it separates the parts of a workflow id), and `provision` is no tenant. */
export const ID_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/
export const TENANT_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/
/** Names of other systems that follow tickets. */
export const SYSTEM_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
/** Names of properties and device events. */
export const NAME_PATTERN = /^[A-Za-z_][A-Za-z0-9_.-]{0,127}$/

export function isId(text: string): boolean {
  return ID_PATTERN.test(text)
}

export function isTenant(text: string): boolean {
  return TENANT_PATTERN.test(text) && text !== 'provision'
}

export interface TwinKey {
  tenant: string
  device: string
  incarnation: number
}

export function twinWorkflowId(key: TwinKey): string {
  return `twin:${key.tenant}:${key.device}:${key.incarnation}`
}

/** Device ids may hold `:`; tenants and incarnations may not. Undefined when it is no twin's id. */
export function parseTwinWorkflowId(id: string): TwinKey | undefined {
  const match = /^twin:([^:]+):(.+):(\d+)$/.exec(id)
  if (!match) return undefined
  const [, tenant, device, incarnation] = match as unknown as [string, string, string, string]
  return { tenant, device, incarnation: Number(incarnation) }
}
