/** Figure 6: bytes a stored value, with its index and all, once there are a million; and whether each acknowledged value is there once. */
import type { Bench } from '../bench.ts'
import { workedOff } from '../lag.ts'
import { roughRate } from './ingest.ts'

const VALUES = 1_000_000
const VALUES_A_MESSAGE = 3

export async function storage(bench: Bench): Promise<void> {
  await roughRate(bench)
  const castor = await bench.castor('small')
  const { generator } = await bench.fleet('small', 'b', 1000)
  const stored = async () => (await castor.sql<Array<{ values: number }>>`select count(*) as values from telemetry`)[0]!.values
  while ((await stored()) < VALUES) {
    generator.pace(10_000)
    await generator.measure(10)
    generator.pace(0)
    await workedOff(castor.sql, 120_000, bench.say)
  }
  const [size] = await castor.sql<Array<{ bytes: number }>>`
    select sum(pg_total_relation_size(relid))::bigint as bytes from pg_partition_tree('telemetry') where isleaf`
  const values = await stored()
  bench.say(`${values} values in ${Math.round(size!.bytes / 1e6)} MB`)
  bench.figure('bytesPerValue', size!.bytes / values)
  bench.figure('valuesMissing', VALUES_A_MESSAGE * (await bench.acknowledged()) - values)
}
