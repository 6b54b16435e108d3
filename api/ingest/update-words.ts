/**
 * What devices say of their updates. How far one has come is only a column of its row (that it installs or reboots the twin hears too, without being
 * woken by it); its last word is decided on by the twin, and what is said after the end changes nothing any more. (That it went well a device does not say here: it says hello with the new firmware.)
 */
import { addUpdateStep } from '../../twin-models/core/inbox.ts'
import type { UpdateAnswer } from '../../twin-models/core/types.ts'
import type { Problem } from './decode.ts'
import { UPDATE_STEPS, type UpdateStatus, type UpdateStep } from './decoding/update-status.ts'
import type { Device } from './device.ts'
import type { LaneStore, TickChanges, UpdateNews, UpdateState } from './lane-store.ts'
import type { LogMessage } from './log-reader.ts'
import { addLastWord } from './responses.ts'

/** The words on updates of one tick. */
export class UpdateWords {
  readonly #changes: TickChanges
  readonly #asked: Array<{ incarnation: number; id: string }> = []
  #known = new Map<string, UpdateState>()
  readonly #news = new Map<string, UpdateNews>()

  constructor(changes: TickChanges) {
    this.#changes = changes
  }

  /** Its update will have to be known. */
  note(incarnation: number, { update }: UpdateStatus): void {
    this.#asked.push({ incarnation, id: update })
  }

  async resolve(store: LaneStore): Promise<void> {
    if (this.#asked.length > 0) this.#known = await store.updates(this.#asked)
  }

  take(device: Device, { update: id, word }: UpdateStatus, message: LogMessage, messageId: string | undefined, problems: Problem[]): void {
    const known = this.#known.get(`${device.incarnation} ${id}`)
    if (known === undefined) {
      problems.push({ reason: 'unknown-update', path: '', detail: `the device has no update ${id}` })
      return
    }
    if (!known.open) {
      if (!isRepeated(word, known))
        problems.push({ reason: 'update-ended', path: '/status', detail: `the update ended ${known.status} before` })
      return
    }
    // Of an attempt that it was not told of it can say nothing: it says again what it said of the attempt before.
    if (!known.told) return
    if (!isLast(word)) {
      this.#noteStep(id, word, message.receivedAt)
      const { status } = word
      if (known.status !== 'soaking' && (status === 'installing' || status === 'rebooting'))
        addUpdateStep(device.inbox, { kind: 'update-step', at: message.receivedAt, id, status })
      return
    }
    const said = messageId === undefined ? {} : { messageId }
    if (addLastWord(device, { kind: 'update-answer', at: message.receivedAt, id, ...word, ...said })) this.#newsOf(id, message.receivedAt)
    else problems.unshift({ reason: 'inbox-full', path: '', detail: 'more answers wait for the twin than it can hold' })
  }

  #noteStep(id: string, { status, progress }: UpdateStep, at: number): void {
    const news = this.#newsOf(id, at)
    if (status === news.status) news.progress = progress ?? news.progress
    // What was said of the step before is not true of the next one.
    else if (news.status === null || UPDATE_STEPS.indexOf(status) > UPDATE_STEPS.indexOf(news.status))
      Object.assign(news, { status, progress })
  }

  /** Who says anything of it has heard of it: it is not sent again, also while its last word waits for the twin. */
  #newsOf(id: string, at: number): UpdateNews {
    const known = this.#news.get(id)
    if (known !== undefined) return known
    const news: UpdateNews = { id, status: null, progress: null, at }
    this.#news.set(id, news)
    this.#changes.updateNews.push(news)
    return news
  }
}

function isLast(word: UpdateStatus['word']): word is UpdateAnswer {
  return word.status === 'failed' || word.status === 'rejected'
}

/** It is how the update ended: devices say it again until they know that they were heard. */
function isRepeated(word: UpdateStatus['word'], { status, code }: UpdateState): boolean {
  return isLast(word) && word.status === status && word.code === code
}
