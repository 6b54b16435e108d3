/** Parts of SELECT lists that several queries share. JSON columns go out as text: most are passed on as they are. */

/** For `devices d`. */
export const DEVICE_COLUMNS = `d.incarnation, d.device, d.model, d.model_version as "modelVersion", d.attributes::text as attributes,
  ${epochMs('d.created_at')} as "createdAt", ${epochMs('greatest(d.changed_at, d.decided_at)')} as "updatedAt"`

/** For `devices d left join twin_inbox i using (incarnation)`. */
export const TWIN_COLUMNS = `${DEVICE_COLUMNS}, d.revision, d.decided::text as decided, coalesce(i.latest, '{}') as latest,
  coalesce(i.last_seen, 0)::float8 as "lastSeenAt", i.connection is not null as connected, i.clock`

/** Epoch milliseconds, cut off, as a number. */
export function epochMs(timestamp: string): string {
  return `floor(extract(epoch from ${timestamp}) * 1000)::float8`
}

/**
 * Whether a query whose text depends on a filter's shape is worth preparing. A prepared statement stays on its connection, so their
 * number is bounded: the first shapes stay, later ones are sent unprepared.
 */
export function preparedShapes(most: number): (text: string) => boolean {
  const shapes = new Set<string>()
  return (text) => {
    if (shapes.has(text)) return true
    if (shapes.size >= most) return false
    shapes.add(text)
    return true
  }
}
