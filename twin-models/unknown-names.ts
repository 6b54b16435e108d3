/** Targets and prediction models that a request names: those that are not there, with what to do about it. */
import { CastorError } from './errors.ts'

export interface NamedDeps {
  targets: Names
  predictionModels: Names
}

/** Undefined: there is none of that name. */
interface Names {
  find(tenant: string, name: string): Promise<object | undefined>
}

/** `path`: JSON pointer to where it stands. */
export interface Named {
  path: string
  kind: 'target' | 'prediction model'
  name: string
}

export interface UnknownName {
  path: string
  detail: string
}

export async function unknownNames(tenant: string, named: Named[], { targets, predictionModels }: NamedDeps): Promise<UnknownName[]> {
  const unknown: UnknownName[] = []
  for (const { path, kind, name } of named) {
    if (await (kind === 'target' ? targets : predictionModels).find(tenant, name)) continue
    const place = kind === 'target' ? 'targets' : 'prediction-models'
    unknown.push({ path, detail: `there is no ${kind} ${name}: make it with PUT /v1/${place}/${name}` })
  }
  return unknown
}

/** Nobody would be told, or asked, by a name that is mistyped. */
export async function refuseUnknown(tenant: string, named: Named[], deps: NamedDeps): Promise<void> {
  const errors = await unknownNames(tenant, named, deps)
  if (errors.length === 0) return
  throw new CastorError('invalid', unknownWords(errors), { errors })
}

export function unknownWords(unknown: UnknownName[]): string {
  return unknown.map(({ path, detail }) => `${path}: ${detail}`).join('; ')
}

/** Whom a ticket tells, and what it asks. `at`: JSON pointer to it. */
export function namedByTicket({ onCall, predict }: { onCall: string[]; predict?: string | undefined }, at = ''): Named[] {
  return [
    ...onCall.map((name, i): Named => ({ path: `${at}/onCall/${i}`, kind: 'target', name })),
    ...(predict === undefined ? [] : [{ path: `${at}/predict`, kind: 'prediction model', name: predict } as const]),
  ]
}
