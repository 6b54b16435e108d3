/** Figure 5: REST over 10,000 twins with 16 clients: reads of one twin, filtered searches, devices created one by one. */
import type { Bench } from '../bench.ts'
import type { Castor } from '../castor.ts'
import { runJob } from '../children.ts'
import { DEVICES_A_SITE, MODEL } from '../fleet.ts'
import type { RestJob, RestReport, RestRequest } from '../rest-load.ts'
import { median } from '../statistics.ts'
import { LARGE_FLEET, largeFleet } from './twins.ts'

const CLIENTS = 16
const ROUNDS = 3

export async function rest(bench: Bench): Promise<void> {
  const castor = await bench.castor('large')
  const { fleet } = await largeFleet(bench)
  const filter = encodeURIComponent("attributes.site = 'site-{n}' and presence.status = 'online'").replaceAll('%7Bn%7D', '{n}')
  const asked: Record<string, (round: number) => RestRequest> = {
    twinReadsPerSecond: () => ({ kind: 'get', path: `/v1/twins/${LARGE_FLEET}{n}`, of: fleet.count }),
    searchesPerSecond: () => ({ kind: 'get', path: `/v1/twins?filter=${filter}`, of: Math.ceil(fleet.count / DEVICES_A_SITE) }),
    devicesCreatedPerSecond: (round) => ({ kind: 'create', prefix: `new-${round}-`, model: MODEL }),
  }
  const found: Record<string, number[]> = {}
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, requestOf] of Object.entries(asked)) {
      const report = await load(castor, requestOf(round), bench.seconds(7))
      bench.say(`${name}: ${JSON.stringify(report)}`)
      if (report.errors > 0) throw new Error(`${name}: ${report.errors} requests failed, one of them with: ${report.error}`)
      found[name] = [...(found[name] ?? []), report.perSecond]
    }
  }
  for (const [name, rates] of Object.entries(found)) bench.figure(name, median(rates))
}

function load(castor: Castor, request: RestRequest, seconds: number): Promise<RestReport> {
  const job: RestJob = { host: castor.host, port: castor.httpPort, key: castor.adminKey, clients: CLIENTS, seconds, request }
  return runJob('rest-load.ts', job, seconds * 1000 + 60_000)
}
