/**
 * Why an artifact is neither rolled out nor downloaded. One meaning for REST, rollouts and downloads; the same in SQL is
 * `usableProblemSql` (infra/postgres/firmware.ts), and a test holds one against the other.
 */

/** Of a row in `firmware`. Times are epoch milliseconds. */
export interface FirmwareTrust {
  /** Id of the key that signed it. Null: nobody has. */
  key: string | null
  /** Its key is not trusted any more. */
  keyRevoked: boolean
  expiresAt: number | null
  withdrawnAt: number | null
}

export type UsableProblem = 'withdrawn' | 'unsigned' | 'key-revoked' | 'expired'

export const USABLE_PROBLEMS: Record<UsableProblem, string> = {
  withdrawn: 'It was withdrawn.',
  unsigned: 'Nobody has signed it: sign its manifest with a release key, and upload the signature.',
  'key-revoked': 'The key that signed it was revoked: sign its manifest with another one.',
  expired: 'Its manifest has expired.',
}

/** Undefined: it may be rolled out and downloaded. */
export function usableProblem({ key, keyRevoked, expiresAt, withdrawnAt }: FirmwareTrust, now: number): UsableProblem | undefined {
  if (withdrawnAt !== null) return 'withdrawn'
  if (key === null) return 'unsigned'
  if (keyRevoked) return 'key-revoked'
  if (expiresAt !== null && expiresAt <= now) return 'expired'
  return undefined
}
