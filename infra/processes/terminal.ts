/** What a person sees of `npm start`: what goes on while it starts, what is up and where, then one line for what is noteworthy. */
import type { Config } from '../config.ts'

export interface Terminal {
  say(line: string): void
  /** Something noteworthy of a process; the same again within a minute is counted, not shown. */
  note(line: string): void
  banner(config: Config, keyPlace: string): void
}

const REPEAT_MS = 60_000
/** Different notes that are remembered. */
const MOST_NOTES = 200

export function createTerminal(write: (line: string) => void = console.log, now: () => number = Date.now): Terminal {
  const shown = new Map<string, { at: number; hidden: number }>()
  return {
    say: write,
    note(line) {
      // The time in front and figures differ from one to the next.
      const what = line.replace(/^\S+\s+/, '').replace(/\d+/g, '#')
      const before = shown.get(what)
      if (before && now() - before.at < REPEAT_MS) {
        before.hidden++
        return
      }
      if (shown.size >= MOST_NOTES) shown.clear()
      shown.set(what, { at: now(), hidden: 0 })
      write(before && before.hidden > 0 ? `${line} [${before.hidden} more like it in the last minute]` : line)
    },
    banner: (config, keyPlace) => write(bannerText(config, keyPlace)),
  }
}

function bannerText(config: Config, keyPlace: string): string {
  const host = config.host.includes(':') ? `[${config.host}]` : config.host
  const rows = [
    ['REST', `${config.publicUrl}/v1`],
    ['Reference', `${config.publicUrl}/docs`],
    ['MQTT', `mqtt://${host}:${config.mqttPort}`],
    ['Device HTTP', `${config.devicePublicUrl}/device/v1`],
    config.temporalAddress ? ['Temporal', config.temporalAddress] : ['Temporal UI', `http://${host}:${config.temporalUiPort}`],
    ['Admin key', keyPlace],
    ['Logs', `${config.dataDir}/logs`],
  ]
  return `\nCastor is up.\n\n${rows.map(([what, where]) => `  ${what!.padEnd(12)} ${where}`).join('\n')}\n\nCtrl-C stops it.\n`
}
