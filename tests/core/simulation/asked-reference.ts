/**
 * What one device's twin should decide on what was asked of it and what its device says to that: fed with every report, last word and request,
 * singly, in processing order. Reports that its inbox left out are fed all the same, and must decide nothing.
 */
import { consume, consumeOwn } from '../../../twin-models/core/consume.ts'
import { initialState } from '../../../twin-models/core/initial.ts'
import { mergePatch } from '../../../twin-models/core/merge-patch.ts'
import { isObject, same } from '../../../twin-models/core/plain.ts'
import { keysOf } from '../../../twin-models/core/pointer.ts'
import type { DeviceAnswer, JsonObject, TwinEvent, TwinInput, TwinSettings, TwinState } from '../../../twin-models/core/types.ts'
import type { RequestRecord } from '../../support/memory-database.ts'
import type { ExpectedPart } from './expected-decode.ts'

type Item = { input: TwinInput } | { request: RequestRecord } | { settings: TwinSettings }
export type LastWord = Extract<TwinInput, { kind: 'command-answer' }>

/** Kinds of inputs that concern what is asked. */
const ASKED = new Set<TwinInput['kind']>(['configured', 'wish', 'reported', 'command', 'cancel', 'command-answer', 'deliver'])

/** Kinds of requests that others watch. */
const ELSEWHERE = new Set(['update', 'cancel-update', 'alarm', 'maintenance'])

export function isAsked({ kind }: TwinEvent): boolean {
  return /^(desired|reported|command)-/.test(kind)
}

export class AskedReference {
  state: TwinState = initialState()
  /** The desired state by the simplest means: patches one after the other, but for what the device won. */
  wished: JsonObject = {}
  /** Wishes that are refused, since they were meant for another version. */
  readonly refused = new Set<string>()
  /** Last words of this tick. */
  words: LastWord[] = []
  readonly #queue: Item[] = []
  readonly #fail: (detail: string) => never

  constructor(fail: (detail: string) => never) {
    this.#fail = fail
  }

  /** A part of a message was processed. Returns how many inputs it may become. */
  say({ id, report, response }: ExpectedPart, at: number): number {
    const messageId = id === undefined ? {} : { messageId: id }
    if (report) this.#queue.push({ input: { kind: 'reported', at, ...report, ...messageId } })
    if (response && isLast(response.word)) {
      const input: LastWord = { kind: 'command-answer', at, id: response.command, ...response.word, ...messageId }
      this.words.push(input)
      this.#queue.push({ input })
    }
    return report || response ? 1 : 0
  }

  /** Updates are decided on with presence and firmware, too: update-ledger.ts holds them to their rules. Alarms: rule-reference.ts. */
  request(request: RequestRecord, settings: TwinSettings): void {
    if (ELSEWHERE.has(request.kind)) return
    this.#queue.push(request.kind === 'configured' ? { settings } : { request })
  }

  /** What is decided on a seal. The settings that the first one begins with were asked for by nobody. */
  takeSeal(inputs: TwinInput[], isFirst: boolean): TwinEvent[] {
    const events: TwinEvent[] = []
    inputs.forEach((input, i) => {
      if (!ASKED.has(input.kind)) return
      if (!isFirst || i > 0) events.push(...this.#passOver(input))
      events.push(...this.#feed(input))
    })
    return events
  }

  takeTimer(at: number, sent: string[]): TwinEvent[] {
    return this.#decided(consumeOwn(this.state, { kind: 'due', at, sent }, at))
  }

  /** Nothing waits for the twin any more: all of it was taken, but for reports that decide nothing. */
  takeRest(): TwinEvent[] {
    return this.#queue.splice(0).flatMap((item) => this.#leaveOut(item, 'the end'))
  }

  /** Up to this one, which the seal holds. */
  #passOver(input: TwinInput): TwinEvent[] {
    const events: TwinEvent[] = []
    for (;;) {
      const item = this.#queue.shift()
      if (item === undefined) return this.#fail(`nobody said ${JSON.stringify(input)}, or not in this order`)
      if (isOf(item, input)) return events
      events.push(...this.#leaveOut(item, JSON.stringify(input)))
    }
  }

  /** Last words need not come: they were said before, or after the end. That none is lost is seen when they are processed. */
  #leaveOut(item: Item, before: string): TwinEvent[] {
    if (!('input' in item)) return this.#fail(`${JSON.stringify(item)} is missing before ${before}`)
    return item.input.kind === 'reported' ? this.#feed(item.input) : []
  }

  #feed(input: TwinInput): TwinEvent[] {
    const { version } = this.state.desired
    if (input.kind === 'wish') {
      const { patch = {}, replace, ifVersion = version } = input
      if (ifVersion !== version) this.refused.add(input.request)
      else this.wished = replace ? mergePatch({}, replace) : mergePatch(this.wished, patch)
    }
    const batch = { messages: 0, lastSeenAt: 0, merged: {}, inputs: [input] }
    return this.#decided(consume(this.state, { seq: this.state.seq + 1, batch }, 0))
  }

  #decided({ state, events }: { state: TwinState; events: TwinEvent[] }): TwinEvent[] {
    this.state = state
    for (const event of events)
      if (event.kind === 'desired-diverged' && event.reason === 'device') this.wished = without(this.wished, keysOf(event.path))
    return events.filter(isAsked)
  }
}

function isLast(word: NonNullable<ExpectedPart['response']>['word']): word is DeviceAnswer {
  return word.status === 'succeeded' || word.status === 'failed'
}

function isOf(item: Item, input: TwinInput): boolean {
  if ('settings' in item) return input.kind === 'configured' && same(input.settings, item.settings)
  if ('input' in item) return same(item.input, input)
  const { id, kind, body: text } = item.request
  const body = JSON.parse(text)
  const meant = kind === 'command' ? { command: body } : body
  return same({ ...meant, kind, request: id, at: input.at }, input)
}

/** What is left empty goes, too. */
function without(object: JsonObject, [key, ...inner]: string[]): JsonObject {
  const { [key!]: value, ...others } = object
  if (inner.length === 0 || !isObject(value)) return others
  const left = without(value, inner)
  return Object.keys(left).length === 0 ? others : { ...others, [key!]: left }
}
