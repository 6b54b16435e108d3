/**
 * A twin model, ready for use: a W3C WoT Thing Model 1.1 with the `castor:` terms, compiled once.
 * The loader (`modelOf`, `listModels`) and the Thing Models stand in devices/.
 */
import type { TwinSettings, Value } from './core/types.ts'

export interface DeviceModel {
  name: string
  version: string
  title: string
  description: string
  /** The Thing Model as shipped. */
  thingModel: Record<string, unknown>
  /** What its twins carry. */
  settings: TwinSettings
  /** What becomes of a property or a device event that the model does not name. */
  unknownProperties: 'keep' | 'refuse'
  /** Readings older than this are refused as a dead letter. */
  backfillLimitMs: number
  properties: ReadonlyMap<string, ModelProperty>
  events: ReadonlyMap<string, ModelEvent>
}

export type DataType = 'number' | 'integer' | 'boolean' | 'string' | 'object' | 'array'

export interface ModelProperty {
  name: string
  unit?: string
  type: DataType
  writable: boolean
  /** Undefined when the value fits, else what is wrong, in words. */
  problemOf(value: Value): string | undefined
}

export interface ModelEvent {
  name: string
  /** Of its data. Undefined: any. */
  type?: DataType | 'null'
  /** The same of its data. */
  problemOf(data: Value): string | undefined
}
