/**
 * Whether a device may get a firmware that somebody asked for it alone, and what its twin is to do then. A rollout leaves devices out for the same
 * reasons (infra/postgres/rollout-left-out.ts). What may be otherwise by the time that it is told, its twin sees to: what it runs, its battery.
 */
import type { Firmware, UpdateRequest } from '../../twin-models/core/types.ts'
import { CastorError } from '../../twin-models/errors.ts'
import { type Manifest, manifestSchema } from '../../twin-models/firmware/manifest.ts'
import { USABLE_PROBLEMS, usableProblem } from '../../twin-models/firmware/usable.ts'
import type { UpdateSpec } from '../../twin-models/schemas/update.ts'
import { windowsByZone } from '../../twin-models/windows.ts'
import type { FirmwareRow, FirmwareRows } from '../firmware-ports.ts'
import type { Groups } from '../group-ports.ts'
import type { TwinRow } from '../ports.ts'

export interface UpdateCheckDeps {
  firmware: Pick<FirmwareRows, 'findVersion' | 'findVersions'>
  groups: Pick<Groups, 'pinElsewhere'>
}

export interface CheckedUpdate {
  /** Id of the artifact. */
  firmware: string
  /** What it says that it runs. */
  from: Firmware | undefined
  request: Omit<UpdateRequest, 'id' | 'by'>
}

export async function checkUpdate(
  { firmware, groups }: UpdateCheckDeps,
  tenant: string,
  twin: TwinRow,
  spec: UpdateSpec,
  now: number,
): Promise<CheckedUpdate> {
  const wanted = await wantedFirmware(firmware, tenant, twin, spec.firmware)
  const manifest = manifestSchema.parse(JSON.parse(wanted.manifest))
  const attributes = JSON.parse(twin.attributes) as { [name: string]: unknown }
  const { firmware: from } = JSON.parse(twin.decided) as { firmware?: Firmware }
  const problem = usableProblem(wanted, now)
  if (problem) throw refused(`${nameOf(wanted)} cannot be installed. ${USABLE_PROBLEMS[problem]}`)
  refuseForeign(twin, attributes, manifest)
  const pin = await groups.pinElsewhere({ tenant, incarnation: twin.incarnation }, wanted.version)
  if (pin)
    throw refused(`${twin.device} is pinned to ${pin.firmwarePin} by the group ${pin.name}: change the pin, or take it out of the group.`)
  const runs = from && (await firmware.findVersion(tenant, wanted.name, from.version))
  if (spec.kind === 'install') refuseOlder(twin.device, wanted, runs, from)
  else refuseNoWayBack(twin.device, wanted, runs, from)

  const { minBattery, from: fromVersions } = manifest.prerequisites
  const { kind, window, offerMs, installMs, soakMs, silenceMs, attempts, retryMs } = spec
  const offerUntil = now + offerMs
  const startsFrom = kind === 'rollback' && from ? [from.version] : fromVersions
  const zone = typeof attributes.timeZone === 'string' ? attributes.timeZone : undefined
  const request = {
    ...{ kind, firmware: { version: wanted.version, sha256: wanted.sha256 } },
    ...(startsFrom && { fromVersions: startsFrom }),
    ...(minBattery !== undefined && { minBattery }),
    ...(window && { windows: windowsByZone(window, now, offerUntil)(zone) }),
    ...{ offerUntil, installMs, soakMs, silenceMs, attempts, retryMs, precedence: now },
  }
  return { firmware: wanted.id, from, request }
}

async function wantedFirmware(
  rows: UpdateCheckDeps['firmware'],
  tenant: string,
  { device, model }: TwinRow,
  { name, version }: UpdateSpec['firmware'],
): Promise<FirmwareRow> {
  if (name !== undefined) {
    const named = await rows.findVersion(tenant, name, version)
    if (named) return named
    throw invalid('/firmware', `There is no firmware ${name} ${version}: upload it first.`)
  }
  const ofModel = (await rows.findVersions(tenant, version)).filter((row) => row.model === model)
  if (ofModel.length === 1) return ofModel[0]!
  if (ofModel.length === 0)
    throw invalid('/firmware', `No firmware of the model ${model}, which ${device} has, has the version ${version}.`)
  const names = ofModel.map((row) => row.name).join(', ')
  throw invalid('/firmware/name', `Several of the model ${model} have the version ${version}: say which one, of ${names}.`)
}

function refuseForeign({ device, model }: TwinRow, attributes: { [name: string]: unknown }, manifest: Manifest): void {
  const it = nameOf(manifest)
  if (manifest.model !== model) throw refused(`${it} is for the model ${manifest.model}; ${device} is a ${model}.`)
  const { hardware } = attributes
  if (manifest.hardware.length === 0 || manifest.hardware.includes(String(hardware))) return
  const own = hardware === undefined ? 'has no attribute hardware' : `has the hardware ${JSON.stringify(hardware)}`
  throw refused(`${it} is for the hardware ${manifest.hardware.join(', ')}; ${device} ${own}.`)
}

/** The counters of a line of releases never go down. A version that Castor does not know has none. The very same is no downgrade. */
function refuseOlder(device: string, wanted: FirmwareRow, runs: FirmwareRow | undefined, from: Firmware | undefined): void {
  if (!runs || runs.counter < wanted.counter) return
  if (runs.id === wanted.id && from?.sha256 === wanted.sha256) return
  const back = manifestSchema.parse(JSON.parse(runs.manifest)).rollbackTo.includes(wanted.version)
  const advice = back ? 'Its manifest allows to go back: ask for the kind rollback.' : 'Its manifest names no way back to it.'
  throw refused(
    `${device} runs ${plainNameOf(runs)} (counter ${runs.counter}), so ${wanted.version} (counter ${wanted.counter}) is not newer. ${advice}`,
  )
}

function refuseNoWayBack(device: string, wanted: FirmwareRow, runs: FirmwareRow | undefined, from: Firmware | undefined): void {
  if (!from) throw refused(`${device} has not said what it runs: only from a known version there is a way back.`)
  if (!runs || runs.key === null)
    throw refused(`${device} runs ${from.version}, of which there is no signed manifest that names a way back.`)
  if (manifestSchema.parse(JSON.parse(runs.manifest)).rollbackTo.includes(wanted.version)) return
  throw refused(`${device} runs ${plainNameOf(runs)}, whose manifest does not name ${wanted.version} among those that it may go back to.`)
}

function nameOf({ name, version }: { name: string; version: string }): string {
  return `Firmware ${name} ${version}`
}

/** Within a sentence. */
function plainNameOf({ name, version }: { name: string; version: string }): string {
  return `${name} ${version}`
}

function refused(message: string): CastorError {
  return new CastorError('conflict', message)
}

function invalid(path: string, message: string): CastorError {
  return new CastorError('invalid', message, { errors: [{ path, detail: message }] })
}
