/** JSON for property tests: few names and values, so that two of them often agree, and names that are easily wrong. */
import fc from 'fast-check'
import type { JsonObject, Value } from '../../twin-models/core/types.ts'

const name = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom('a', 'b', 'c') },
  { weight: 1, arbitrary: fc.constantFrom('', '/', '~1', 'a/b', 'constructor', 'toString', '__proto__') },
)
const scalar = fc.constantFrom<Value>(0, 1, 1.5, 'x', '', true, false)

/** With `null` a member may be null, as in a patch; without it never, as in a document that patches made. */
function objects(withNull: boolean): fc.Arbitrary<JsonObject> {
  return fc.letrec<{ value: Value; object: JsonObject }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4, depthSize: 'small' },
      { weight: 4, arbitrary: scalar },
      { weight: withNull ? 2 : 0, arbitrary: fc.constant(null) },
      { weight: 1, arbitrary: fc.array(fc.oneof(scalar, fc.constant(null)), { maxLength: 2 }) },
      { weight: 3, arbitrary: tie('object') },
    ),
    object: fc.array(fc.tuple(name, tie('value')), { maxLength: 4 }).map((entries) => Object.fromEntries(entries)),
  })).object
}

export const jsonObject: fc.Arbitrary<JsonObject> = objects(false)
export const patch: fc.Arbitrary<JsonObject> = objects(true)
