/** The Temporal dev server that all tests of the run share. Its first start may build or download the binary: minutes, once. */
import { inject } from 'vitest'
import { askForServer } from './ask.ts'

export interface TestTemporal {
  address: string
  namespace: string
}

export async function testTemporal(): Promise<TestTemporal> {
  const { address } = await askForServer<{ address: string }>(inject('testServers'), '/temporal')
  return { address, namespace: 'default' }
}
