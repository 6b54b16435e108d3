/** What a person sees of a fleet at work: one line that changes on a terminal, a line every few seconds elsewhere, a summary at the end. */
import type { Fleet } from './fleet.ts'
import type { Figures } from './report.ts'

export interface Progress {
  /** One more line for the reader, above the changing one. */
  say(line: string): void
  stop(): void
}

const TERMINAL_EVERY_MS = 250
const PLAIN_EVERY_MS = 5_000

/** `phase` is asked for each line: what the fleet is doing, with its time. */
export function showProgress(out: NodeJS.WriteStream, phase: () => string): Progress {
  const clear = out.isTTY ? '\r\x1b[2K' : ''
  const show = () => out.write(out.isTTY ? `${clear}${phase().slice(0, out.columns - 1)}` : `${phase()}\n`)
  const timer = setInterval(show, out.isTTY ? TERMINAL_EVERY_MS : PLAIN_EVERY_MS)
  return {
    say: (line) => out.write(`${clear}${line}\n`),
    stop() {
      clearInterval(timer)
      out.write(clear)
    },
  }
}

export function progressLine(fleet: Fleet, elapsedMs: number, durationMs: number): string {
  const { figures } = fleet
  const time = Number.isFinite(durationMs) ? `${clock(elapsedMs)} of ${clock(durationMs)}` : clock(elapsedMs)
  return [
    time,
    `online ${figures.online}/${fleet.ids.length}`,
    `sent ${number(figures.sent)}`,
    `acknowledged ${number(figures.acknowledged)}`,
    `waiting ${number(fleet.unacknowledged())}`,
    ...(figures.retried > 0 ? [`retried ${number(figures.retried)}`] : []),
    ...(figures.refused > 0 ? [`refused ${number(figures.refused)}`] : []),
    `ack p50 ${ms(figures.latency.percentile(50))}, p99 ${ms(figures.latency.percentile(99))}`,
  ].join('  ')
}

export function summary(fleet: Fleet, elapsedMs: number, online: number): string {
  const { figures } = fleet
  const rate = figures.acknowledged / Math.max(elapsedMs / 1000, 1)
  const lines = [
    ['devices', `${number(fleet.ids.length)}, ${number(online)} of them online at the end, ${number(figures.connects)} connections in all`],
    ['sent', `${number(figures.sent)} messages in ${clock(elapsedMs)}`],
    ['acknowledged', `${number(figures.acknowledged)} (${rate.toFixed(1)} a second)`],
    ['retried', `${number(figures.retried)} after a broken connection`],
    ['refused', number(figures.refused)],
    [
      'never acknowledged',
      `${number(figures.dropped)} dropped by full devices or lost with dead ones, ${number(fleet.unacknowledged())} still waiting`,
    ],
    ['latency of the ack', `p50 ${ms(figures.latency.percentile(50))}, p99 ${ms(figures.latency.percentile(99))}`],
    ...askedLines(figures),
    ...updateLines(figures),
    ...(figures.told > 0 ? [['told on errors', `${number(figures.told)} messages`]] : []),
    ...[...figures.downs].map(([reason, count]) => ['connection lost', `${number(count)}: ${reason}`]),
  ]
  return lines.map(([name, text]) => `  ${name!.padEnd(19)} ${text}`).join('\n')
}

function askedLines({ wishes, commands }: Figures): string[][] {
  const hadWishes = wishes.obeyed + wishes.refused > 0
  const hadCommands = commands.obeyed + commands.refused + commands.cancelled > 0
  const cancelled = commands.cancelled > 0 ? `, ${number(commands.cancelled)} cancelled` : ''
  return [
    ...(hadWishes ? [['wishes', `${number(wishes.obeyed)} obeyed, ${number(wishes.refused)} refused`]] : []),
    ...(hadCommands ? [['commands', `${number(commands.obeyed)} obeyed, ${number(commands.refused)} refused${cancelled}`]] : []),
  ]
}

function updateLines({ updates }: Figures): string[][] {
  const { installed, failed, rejected, returned, bricked, bytes, resumes } = updates
  if (installed + failed + rejected + returned + bricked === 0) return []
  const others = { failed, rejected, returned, bricked }
  const counts = Object.entries(others).map(([name, count]) => `${number(count)} ${name}`)
  return [
    ['updates', `${number(installed)} installed, ${counts.join(', ')}`],
    ['downloaded', `${number(bytes)} bytes, ${number(resumes)} times resumed where it had broken off`],
  ]
}

function number(value: number): string {
  return value.toLocaleString('en-US')
}

function ms(value: number): string {
  return value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`
}

function clock(elapsedMs: number): string {
  const seconds = Math.floor(elapsedMs / 1000)
  const two = (n: number) => String(n).padStart(2, '0')
  const hours = Math.floor(seconds / 3600)
  return `${hours > 0 ? `${hours}:` : ''}${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`
}
