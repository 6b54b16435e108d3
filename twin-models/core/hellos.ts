/**
 * Hellos that say nothing new: a device may send one with each breath, and its inbox does not grow by them. And presence that goes to and fro
 * while nobody takes it: a full inbox does not grow by that either. And those that are told of after what was received later: two bridges give no order.
 */
import type { Firmware, Health, HelloWords, PresenceStatus, ToldAt, TwinInput, Wake } from './types.ts'

export type Hello = Extract<TwinInput, { kind: 'hello' }>
export type PresenceNews = Extract<TwinInput, { kind: 'hello' | 'life' | 'silent' }>

/** It says what cannot wait, for a twin that takes its device for `expected`. */
export function isUrgent(wake: Wake, { status, firmware, health }: Hello, expected: PresenceStatus): boolean {
  if (differs(wake, firmware, health) || (wake.mayRestart && status === 'online' && firmware !== undefined)) return true
  return status !== expected && !(status === 'offline' && wake.mayRestart)
}

/** It tells of firmware or health what the twin does not know. */
function differs(wake: Wake, firmware: Firmware | undefined, health: Health | undefined): boolean {
  return (firmware !== undefined && firmwareDiffers(wake, firmware)) || (health !== undefined && health.ok !== wake.healthOk)
}

/** As decide.ts sees it: a hash that is not told is none that differs. */
function firmwareDiffers(wake: Wake, { version, sha256 }: Firmware): boolean {
  return version !== wake.firmware || (sha256 !== undefined && sha256 !== wake.firmwareSha256)
}

/**
 * Two bridges may hand in a hello after a goodbye that was received later: of presence it says nothing then, for the twin neither (presence.ts).
 * As a goodbye it stays no return for whatever looks at what waits.
 */
export function withoutOldReturn(hello: Hello, goodbyeAt: number): Hello {
  return hello.status === 'online' && hello.at < goodbyeAt ? { ...hello, status: 'offline' } : hello
}

/** What was told of firmware or health by a hello that was received later, it says no longer, for the twin neither (decide.ts). */
export function withoutOldWords(hello: Hello, told: ToldAt): Hello {
  const { firmwareAt, healthAt } = toldBy(hello)
  const { firmware, health, ...rest } = hello
  return {
    ...rest,
    // What is not known compares as false.
    ...(firmware && !(firmwareAt! < told.firmwareAt!) && { firmware }),
    ...(health && !(healthAt! < told.healthAt!) && { health }),
  }
}

/** Alone, of a state or of wake conditions. */
export function toldAt({ firmwareAt, healthAt }: ToldAt): ToldAt {
  return { ...(firmwareAt !== undefined && { firmwareAt }), ...(healthAt !== undefined && { healthAt }) }
}

/** When it said what it says beside its status. */
export function toldBy({ at, firmware, firmwareAt = at, health, healthAt = at }: Hello): ToldAt {
  return { ...(firmware && { firmwareAt }), ...(health && { healthAt }) }
}

/**
 * However chatty the device: of hellos that say the same again and again only the first, which may decide something, and the last are
 * kept, the first for its time and the last for its numbers. The place of the one that `hello` replaces.
 */
export function lastRepeated(inputs: TwinInput[], hello: Hello, full: boolean): number | undefined {
  const at = inputs.findLastIndex(isOfPresence)
  const last = inputs[at]
  // What it says after it said how far its update is means something else than what it said before.
  const from = full ? 0 : inputs.findLastIndex(({ kind }) => kind === 'update-step') + 1
  if (last?.kind !== 'hello' || at < from) return undefined
  const first = inputs.slice(from, at).findLast(isOfPresence)
  if (full) return last.status === hello.status && first && isOnline(first) === isOnline(last) ? at : undefined
  return first?.kind === 'hello' && repeats(last, first) && repeats(hello, last) ? at : undefined
}

/**
 * For a full inbox: without the last time that the device was as `news` says, and then was not, as long as the end of an older one stays. So
 * the twin still learns the last state with its time, and that it was otherwise before, only not how often. What the hellos among those
 * that go said beside goes on with `news`; where that is no hello, or was received before it was said, they stay.
 */
export function withoutDetour(inputs: TwinInput[], news: PresenceNews): { inputs: TwinInput[]; news: PresenceNews } | undefined {
  const gone = new Set<TwinInput>()
  let words: Partial<Hello> = {}
  let online = isOnline(news)
  for (let at = inputs.length - 1, turns = 0; at >= 0; at--) {
    const input = inputs[at]!
    if (!isOfPresence(input)) continue
    if (isOnline(input) !== online) {
      online = !online
      turns++
    }
    if (turns === 3)
      return {
        inputs: inputs.filter((kept) => !gone.has(kept)),
        news: news.kind === 'hello' ? { ...news, ...words, ...wordsOf(news) } : news,
      }
    const said = input.kind === 'hello' ? wordsOf(input) : {}
    if (turns > 0) {
      if ((news.kind !== 'hello' || news.at < input.at) && Object.keys(said).length > 0) return undefined
      gone.add(input)
    }
    words = { ...said, ...words }
  }
  return undefined
}

/** Presence is decided on it. */
export function isOfPresence(input: TwinInput): input is PresenceNews {
  return input.kind === 'hello' || input.kind === 'life' || input.kind === 'silent'
}

/** It says that the device is there. */
function isOnline(input: PresenceNews): boolean {
  return input.kind === 'life' || (input.kind === 'hello' && input.status === 'online')
}

/**
 * One in place of both. Which is told last says what counts of what both say (it has no old words); what only the other says goes on, but not at a
 * time at which it was not said yet: the last may have been received before, by another bridge.
 */
export function inPlaceOf(before: Hello, hello: Hello): Hello {
  return { ...(hello.at < before.at ? before : hello), ...wordsOf(before), ...wordsOf(hello) }
}

/** What it says beside its status, and when; the next one may leave it out. */
function wordsOf(hello: Hello): HelloWords {
  const { firmware, health } = hello
  return { ...(firmware && { firmware }), ...(health && { health }), ...toldBy(hello) }
}

/** Nothing would be decided on it after the one before, and that one says all that it says. */
function repeats(hello: Hello, before: Hello): boolean {
  const { firmware, health } = hello
  return (
    hello.status === before.status &&
    hello.will === before.will &&
    (firmware === undefined || (firmware.version === before.firmware?.version && firmware.sha256 === before.firmware.sha256)) &&
    (health === undefined || (health.ok === before.health?.ok && JSON.stringify(health.errors) === JSON.stringify(before.health.errors)))
  )
}
