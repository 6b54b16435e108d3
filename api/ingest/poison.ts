/**
 * Finds the messages that cannot be stored, by trying halves. One that fails alone is tried again with growing pauses before it is given
 * up, so that a passing trouble makes no dead letter.
 */
const TRIES_ALONE = 5
const FIRST_PAUSE_MS = 50

export async function findPoison<T>(
  messages: T[],
  fails: (messages: T[]) => Promise<boolean>,
  pause: (ms: number) => Promise<void>,
): Promise<T[]> {
  if (messages.length === 0 || !(await fails(messages))) return []
  if (messages.length > 1) {
    const half = messages.length >> 1
    return [...(await findPoison(messages.slice(0, half), fails, pause)), ...(await findPoison(messages.slice(half), fails, pause))]
  }
  for (let tries = 1; tries < TRIES_ALONE; tries++) {
    await pause(FIRST_PAUSE_MS * 2 ** tries * (0.5 + Math.random() / 2))
    if (!(await fails(messages))) return []
  }
  return messages
}
