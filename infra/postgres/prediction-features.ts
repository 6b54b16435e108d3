/** What of a device a prediction model is asked with: its twin document as it is now, and what its stored readings were in the time before. */
import type { TwinRow } from '../../api/ports.ts'
import { twinDocument } from '../../twin-models/core/document.ts'
import type { DeviceModel } from '../../twin-models/model.ts'
import { featuresOf, type Window, type WindowValues, windowsOf } from '../../twin-models/prediction/features.ts'
import type { Features } from '../../twin-models/prediction/types.ts'
import type { PredictionSettings } from '../../twin-models/schemas/prediction-model.ts'
import { TWIN_COLUMNS } from './columns.ts'
import type { Queries } from './connect.ts'

export interface FeaturesAsked {
  tenant: string
  incarnation: number
  settings: PredictionSettings
  /** Of twins. */
  models: (name: string) => DeviceModel | undefined
  /** Epoch ms. Readings before it are left aside; null or absent: none are. */
  since?: number | null
  /** Epoch ms. */
  now: number
}

/** Of a window; older ones of it are left out. Nearly a day at one value a second. */
const MOST_READINGS = 86_400
/** Numbers that overflow when they are summed up, and the like. */
const DATA_EXCEPTION = /^22/

export async function gatherFeatures(sql: Queries, asked: FeaturesAsked): Promise<{ features: Features } | { problem: string }> {
  const { tenant, incarnation, settings, models, now } = asked
  const [twin] = await sql.unsafe<TwinRow[]>(
    `select ${TWIN_COLUMNS} from devices d left join twin_inbox i on i.incarnation = d.incarnation where d.tenant = $1 and d.incarnation = $2`,
    [tenant, incarnation],
  )
  if (!twin) return { problem: 'The device was removed.' }
  const { attributes, decided, latest, clock, ...row } = twin
  const parts = {
    attributes: JSON.parse(attributes),
    decided: JSON.parse(decided),
    latest: JSON.parse(latest),
    clock: clock && JSON.parse(clock),
  }
  const document = twinDocument({ ...row, tenant, ...parts }, models(twin.model), now)
  try {
    return featuresOf(settings.inputs, document, await valuesOf(sql, asked, windowsOf(settings.inputs)))
  } catch (error) {
    if (!DATA_EXCEPTION.test((error as { code?: string }).code ?? '')) throw error
    return { problem: `Postgres cannot make a number of the readings: ${(error as Error).message}.` }
  }
}

/** Numbers and booleans; what else a device measured is no number. Each window by its range of the index. */
async function valuesOf(sql: Queries, { tenant, incarnation, since, now }: FeaturesAsked, windows: Window[]): Promise<WindowValues[]> {
  if (windows.length === 0) return []
  const until = new Date(now)
  const from = typeof since === 'number' ? new Date(since) : null
  return sql<WindowValues[]>`
    select w.name, w.ms, count(t.value)::int as count, avg(t.value) as mean, min(t.value) as min, max(t.value) as max, stddev_pop(t.value) as stddev,
      (array_agg(t.value order by t.ts) filter (where t.is_first))[1] as first, (array_agg(t.value order by t.ts) filter (where t.is_last))[1] as last
    from unnest(${windows.map(({ name }) => name)}::text[], ${windows.map(({ ms }) => ms)}::float8[]) as w (name, ms)
    left join properties p on p.tenant = ${tenant} and p.name = w.name
    left join lateral (
      select value, ts, ts = min(ts) over () as is_first, ts = max(ts) over () as is_last from (
        select ts, coalesce(number, case other when 'true' then 1 when 'false' then 0 end) as value from telemetry
        where incarnation = ${incarnation} and property = p.property and ts <= ${until} and ts > ${until}::timestamptz - make_interval(secs => w.ms / 1000)
          and (${from}::timestamptz is null or ts >= ${from}::timestamptz)
          and (number is not null or other in ('true', 'false'))
        order by ts desc limit ${MOST_READINGS}
      ) newest
    ) t on true
    group by w.name, w.ms`
}
