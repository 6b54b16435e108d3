/** The twin models that Castor ships, compiled when first asked for. Their names are what `POST /v1/devices` calls `model`. */
import type { DeviceModel } from '../model.ts'
import { compileModel } from './compile.ts'
import lock from './lock.tm.json' with { type: 'json' }
import meter from './meter.tm.json' with { type: 'json' }
import pump from './pump.tm.json' with { type: 'json' }
import thermostat from './thermostat.tm.json' with { type: 'json' }

const SHIPPED: ReadonlyArray<readonly [name: string, thingModel: Record<string, unknown>]> = [
  ['lock', lock],
  ['meter', meter],
  ['pump', pump],
  ['thermostat', thermostat],
]

let compiled: DeviceModel[] | undefined

/** By name. */
export function listModels(): readonly DeviceModel[] {
  compiled ??= SHIPPED.map(([name, thingModel]) => compileModel(name, thingModel))
  return compiled
}

/** Without a version, the one that is shipped. */
export function modelOf(name: string, version?: string): DeviceModel | undefined {
  return listModels().find((model) => model.name === name && (version === undefined || model.version === version))
}
