/** What the tests need once on a machine: the Temporal server. Fetching or building it takes minutes, which no single test should wait for. */
import { readConfig } from '../../infra/config.ts'
import { temporalBinary } from '../../infra/temporal/binary.ts'

const { temporalCliPath, cacheDir } = readConfig()
await temporalBinary({ cliPath: temporalCliPath, cacheDir, say: (line) => console.log(line) })
