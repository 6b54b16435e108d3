/** What REST needs of the outside for groups (infra/postgres/groups.ts). Times are epoch milliseconds. */
import type { Page } from './ports.ts'

/** Of a tenant. Pins are fewer: each is asked of every device that a rollout looks at. */
export const MOST_GROUPS = 500
export const MOST_PINS = 50

export interface Group {
  name: string
  filter: string
  /** A version. Null: none. */
  firmwarePin: string | null
  createdAt: number
  changedAt: number
}

export interface Groups {
  /** New or changed. 'too-many-…': nothing was written. */
  put(
    tenant: string,
    group: Pick<Group, 'name' | 'filter' | 'firmwarePin'>,
  ): Promise<{ group: Group; isNew: boolean } | 'too-many-groups' | 'too-many-pins'>
  find(tenant: string, name: string): Promise<Group | undefined>
  /** By name. */
  list(tenant: string, page: Page<string>): Promise<Group[]>
  /** False: there is none. */
  remove(tenant: string, name: string): Promise<boolean>
  /** How many devices a filter finds; counted no further than `most`. */
  count(tenant: string, filter: string, most: number): Promise<number>
  /** The first group, by name, that holds the device and pins it to another version than this. */
  pinElsewhere(device: { tenant: string; incarnation: number }, version: string): Promise<Group | undefined>
}
