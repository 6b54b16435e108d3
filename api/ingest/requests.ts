/**
 * Requests to twins as inputs of their inboxes. A body is checked as far as the twin relies on it: it may be of a newer version of the code
 * than this one, or have been written by hand.
 */
import type { CommandRequest, TwinInput, WishRequest } from '../../twin-models/core/types.ts'
import type { TwinRequest } from './lane-store.ts'

type Body = { [key: string]: unknown }

/** Undefined when this code does not understand it. */
export function inputOf({ id: request, kind, body: text }: TwinRequest, at: number): TwinInput | undefined {
  if (kind === 'deliver') return { kind, at, request }
  const body = bodyOf(text)
  if (body === undefined) return undefined
  if (kind === 'wish' && isWish(body)) return { ...body, kind, at, request }
  if (kind === 'command' && isCommand(body)) return { kind, at, request, command: body }
  if (kind === 'cancel' && isCancel(body)) return { ...body, kind, at, request }
  return undefined
}

function bodyOf(text: string): Body | undefined {
  try {
    const json: unknown = JSON.parse(text)
    return isObject(json) ? json : undefined
  } catch {
    return undefined
  }
}

function isWish(body: Body): body is Body & WishRequest {
  const { patch, replace, ifVersion, deadlineMs, retryMs } = body
  const isOne = patch === undefined ? isObject(replace) : isObject(patch) && replace === undefined
  return isOne && areTexts(body, 'by') && [ifVersion, deadlineMs, retryMs].every((number) => number === undefined || isNumber(number))
}

function isCommand(body: Body): body is Body & CommandRequest {
  const { expiresAt, repeatable, concurrency, onlyLast } = body
  return (
    areTexts(body, 'id', 'name', 'by') &&
    isNumber(expiresAt) &&
    typeof repeatable === 'boolean' &&
    (concurrency === undefined || isNumber(concurrency)) &&
    (onlyLast === undefined || typeof onlyLast === 'boolean')
  )
}

function isCancel(body: Body): body is Body & { id: string; by: string } {
  return areTexts(body, 'id', 'by')
}

function areTexts(body: Body, ...names: string[]): boolean {
  return names.every((name) => typeof body[name] === 'string')
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}

function isObject(value: unknown): value is Body {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
