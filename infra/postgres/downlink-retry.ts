/** When what was sent to a device goes again, as parts of queries. All times are those of Postgres, so that several bridges agree. */

/** A row's first wait, in seconds, and how often it was sent, as expressions over it. */
interface Sent {
  row: string
  firstSeconds: string
  times: string
}

/** Doubled each time, at most 10 minutes; up to a fifth longer, so that not all devices are told at one moment. Null: at once. */
export function dueAt({ row, firstSeconds, times }: Sent): string {
  return `${row}.sent_at + make_interval(secs => least(${firstSeconds} * 2 ^ least(${times} - 1, 20), 600)
    * (1 + (${row}.incarnation::bigint * 7919 + ${times} * 104729) % 1000 / 5000.0))`
}

export function isDue(sent: Sent): string {
  return `coalesce(${dueAt(sent)} <= now(), true)`
}
