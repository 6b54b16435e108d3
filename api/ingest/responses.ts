/**
 * What devices say of commands. That a device is on one is only a column of its row; its last word is decided on by the twin, and what is
 * said after the end changes nothing any more.
 */
import { addInput } from '../../twin-models/core/inbox.ts'
import type { DeviceAnswer, TwinInput } from '../../twin-models/core/types.ts'
import type { Problem } from './decode.ts'
import { shown } from './decoding/draft.ts'
import type { Response, Underway } from './decoding/response.ts'
import type { Device } from './device.ts'
import type { CommandNews, CommandState, LaneStore, TickChanges } from './lane-store.ts'
import type { LogMessage } from './log-reader.ts'

/** The responses of one tick. */
export class Responses {
  readonly #changes: TickChanges
  readonly #asked: Array<{ incarnation: number; id: string }> = []
  #known = new Map<string, CommandState>()
  readonly #news = new Map<string, CommandNews>()

  constructor(changes: TickChanges) {
    this.#changes = changes
  }

  /** Its command will have to be known. */
  note(incarnation: number, { command }: Response): void {
    this.#asked.push({ incarnation, id: command })
  }

  async resolve(store: LaneStore): Promise<void> {
    if (this.#asked.length > 0) this.#known = await store.commands(this.#asked)
  }

  take(device: Device, { command, word }: Response, message: LogMessage, messageId: string | undefined, problems: Problem[]): void {
    const known = this.#known.get(`${device.incarnation} ${command}`)
    if (known === undefined) {
      problems.push({ reason: 'unknown-command', path: '', detail: `the device has no command ${command}` })
      return
    }
    if (!known.open) {
      this.#takeLate(command, known, word, message.receivedAt, problems)
      return
    }
    if (!isLast(word)) {
      this.#noteNews(command, word, message.receivedAt)
      return
    }
    const answer = outputChecked(device, known.name, word, problems)
    const said = messageId === undefined ? {} : { messageId }
    const input: LastWord = { kind: 'command-answer', at: message.receivedAt, id: command, ...answer, ...said }
    if (addLastWord(device, input)) this.#noteNews(command, ANSWERED, message.receivedAt)
    else problems.unshift({ reason: 'inbox-full', path: '', detail: 'more answers wait for the twin than it can hold' })
  }

  #takeLate(id: string, known: CommandState, word: Response['word'], at: number, problems: Problem[]): void {
    if (isRepeated(word, known)) return
    problems.push({ reason: 'command-ended', path: '/status', detail: `the command ended ${known.status} before` })
    if (isLast(word)) this.#changes.commandLate.push({ id, answer: JSON.stringify({ at, ...word }) })
  }

  #noteNews(id: string, { status, progress }: Underway, at: number): void {
    const known = this.#news.get(id)
    if (known === undefined) {
      const news = { id, status, progress, at }
      this.#news.set(id, news)
      this.#changes.commandNews.push(news)
      return
    }
    if (status === 'running') known.status = status
    known.progress = progress ?? known.progress
  }
}

/** Who gave the last word has heard of the command: it is not sent again while that word waits for the twin. */
const ANSWERED: Underway = { status: 'acknowledged', progress: null }

function isLast(word: Response['word']): word is DeviceAnswer {
  return word.status === 'succeeded' || word.status === 'failed'
}

/** It is what the command ended with: devices say it again until they know that they were heard. */
function isRepeated(word: Response['word'], { status, code }: CommandState): boolean {
  return word.status === status && (word.status !== 'failed' || word.code === code)
}

function outputChecked({ model }: Device, name: string, word: DeviceAnswer, problems: Problem[]): DeviceAnswer {
  if (word.status !== 'succeeded') return word
  const misfit = model?.actions.get(name)?.outputProblem(word.output)
  if (misfit === undefined) return word
  const message = `the output of ${name} ${shown(misfit)}`
  problems.push({ reason: 'invalid-output', path: '/output', detail: message })
  return { ...word, status: 'failed', code: 'invalid-output', message }
}

type LastWord = Extract<TwinInput, { kind: 'command-answer' | 'update-answer' }>

/**
 * False when the inbox is full. Repeated while it waits, the word says nothing new: so a device that repeats itself for ever does not fill
 * its inbox.
 */
export function addLastWord({ inbox }: Device, word: LastWord): boolean {
  const { kind, id, status } = word
  const waits = inbox.pending?.inputs.some((input) => input.kind === kind && input.id === id && input.status === status)
  return waits || addInput(inbox, word)
}
