/**
 * Addresses of a name, for connections to receivers that may be broken in any way.
 *
 * DNS is asked directly and not through the operating system: `lookup` holds one of four threads of the process until it is done, and a few
 * names whose DNS does not answer would stop all others. Only what DNS does not know (names in a hosts file, of Docker, of mDNS) goes that
 * way; so do names without a dot, which only the machine's own settings can complete.
 */
import { lookup, Resolver } from 'node:dns/promises'

/** At least one address, or it rejects. Gives up when the signal aborts. */
export type Resolve = (name: string, signal: AbortSignal) => Promise<string[]>

/** Each try is waited for this long, then a longer time. */
const PATIENCE = { timeout: 2_000, tries: 3 }
const UNKNOWN = ['ENOTFOUND', 'ENODATA']

/** `servers`: of DNS. Absent: those of the machine. */
export async function resolveName(name: string, signal: AbortSignal, servers?: string[]): Promise<string[]> {
  if (isOfMachine(name)) return lookedUp(name)
  // Each its own: it reads the machine's settings as they are now, and what was begun can be given up.
  const resolver = new Resolver(PATIENCE)
  if (servers) resolver.setServers(servers)
  const giveUp = () => resolver.cancel()
  signal.addEventListener('abort', giveUp)
  try {
    const answers = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)])
    // IPv4 first: a machine without IPv6 loses no time.
    const found = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []))
    if (found.length > 0) return found
    const problems = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason] : []))
    const trouble = problems.find(({ code }) => !UNKNOWN.includes(code))
    if (trouble) throw trouble
    return await lookedUp(name)
  } finally {
    signal.removeEventListener('abort', giveUp)
  }
}

function isOfMachine(name: string): boolean {
  const plain = name.replace(/\.$/, '')
  return !plain.includes('.') || plain.endsWith('.localhost')
}

async function lookedUp(name: string): Promise<string[]> {
  const found = await lookup(name, { all: true })
  return found.map(({ address }) => address)
}
