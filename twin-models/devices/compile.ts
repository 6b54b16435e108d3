/** Compiles a Thing Model: its settings, and for each property and event a function that says what is wrong with a value. */
import { Ajv, type ErrorObject } from 'ajv'
import type { TwinSettings, Value } from '../core/types.ts'
import type { DeviceModel, ModelEvent, ModelProperty } from '../model.ts'
import { type EventAffordance, type PropertyAffordance, parseThingModel, type ThingModel } from '../schemas/thing-model.ts'

type ProblemOf = ModelProperty['problemOf']

/** Throws when the Thing Model is not valid, and says why. */
export function compileModel(name: string, json: Record<string, unknown>): DeviceModel {
  const thingModel = parseThingModel(name, json)
  // Thing Models say more than JSON Schema knows (unit, readOnly, castor:…), so unknown words are no mistake. A property inherited from
  // Object.prototype is none.
  const ajv = new Ajv({ strict: false, validateFormats: false, ownProperties: true })
  const properties = Object.entries(thingModel.properties).map(([property, affordance]) => compileProperty(ajv, property, affordance))
  const events = Object.entries(thingModel.events).map(([event, affordance]) => compileEvent(ajv, event, affordance))
  return {
    name,
    version: thingModel.version.model,
    title: thingModel.title,
    description: thingModel.description,
    thingModel: json,
    settings: settingsOf(name, thingModel),
    unknownProperties: thingModel['castor:unknownProperties'],
    backfillLimitMs: thingModel['castor:backfillLimit'],
    properties: new Map(properties.map((property) => [property.name, property])),
    events: new Map(events.map((event) => [event.name, event])),
  }
}

function settingsOf(model: string, thingModel: ThingModel): TwinSettings {
  const ranges: TwinSettings['ranges'] = {}
  for (const [name, { 'castor:normalRange': range }] of Object.entries(thingModel.properties)) {
    if (range === undefined) continue
    const { minimum, maximum, hysteresis } = range
    ranges[name] = {
      ...(minimum === undefined ? {} : { minimum }),
      ...(maximum === undefined ? {} : { maximum }),
      ...(hysteresis === undefined ? {} : { hysteresis }),
    }
  }
  return { model, modelVersion: thingModel.version.model, presenceTimeoutMs: thingModel['castor:presenceTimeout'], ranges }
}

function compileProperty(ajv: Ajv, name: string, affordance: PropertyAffordance): ModelProperty {
  const { type, unit, readOnly } = affordance
  return { name, ...(unit === undefined ? {} : { unit }), type, writable: !readOnly, problemOf: problemFunction(ajv, affordance) }
}

function compileEvent(ajv: Ajv, name: string, { data = {} }: EventAffordance): ModelEvent {
  return { name, ...(data.type === undefined ? {} : { type: data.type }), problemOf: problemFunction(ajv, data) }
}

/** Nearly all values are scalars of a plain type: those need no schema. */
const SCALARS: Record<'number' | 'integer' | 'boolean' | 'string', ProblemOf> = {
  number: (value) => (typeof value === 'number' ? undefined : `must be a number, is ${kindOf(value)}`),
  integer: (value) =>
    Number.isInteger(value) ? undefined : `must be an integer, is ${typeof value === 'number' ? 'a fraction' : kindOf(value)}`,
  boolean: (value) => (typeof value === 'boolean' ? undefined : `must be true or false, is ${kindOf(value)}`),
  string: (value) => (typeof value === 'string' ? undefined : `must be a string, is ${kindOf(value)}`),
}
/** Words of JSON Schema that narrow a scalar further. `unit`, `title` and the like do not. */
const NARROWING = ['const', 'enum', 'oneOf', 'allOf', 'anyOf', 'not', 'pattern', 'minLength', 'maxLength', 'multipleOf']
const BOUNDS = ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum']

type Schema = PropertyAffordance | NonNullable<EventAffordance['data']>

function problemFunction(ajv: Ajv, affordance: Schema): ProblemOf {
  const { type } = affordance
  if (type === undefined || type === 'null' || type === 'object' || type === 'array') return schemaProblem(ajv, affordance)
  const ofType = SCALARS[type]
  if (![...NARROWING, ...BOUNDS].some((word) => word in affordance)) return ofType
  const ofSchema = schemaProblem(ajv, affordance)
  return (value) => ofType(value) ?? ofSchema(value)
}

function schemaProblem(ajv: Ajv, affordance: Schema): ProblemOf {
  const validate = ajv.compile(affordance)
  return (value) => (validate(value) ? undefined : inWords(validate.errors?.[0]))
}

function inWords(error: ErrorObject | undefined): string {
  const at = error?.instancePath ? `${error.instancePath} ` : ''
  return `${at}${error?.message ?? 'does not fit the model'}`
}

function kindOf(value: Value): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}
