import fc from 'fast-check'
import { expect, it } from 'vitest'
import { MemberTexts } from '../../api/ingest/member-texts.ts'

it('gives the JSON of the object, whatever changed, came or went, as long as it is told', () => {
  const step = fc.oneof(
    fc.record({ name: fc.constantFrom('a', 'b', 'ä"', '0'), value: fc.oneof(fc.integer(), fc.string(), fc.constant(null)) }),
    fc.record({ untouched: fc.constantFrom('a', 'z') }),
    fc.constant('all gone' as const),
    fc.constant('written' as const),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const texts = new MemberTexts()
      let object: { [name: string]: unknown } = {}
      for (const what of steps) {
        if (what === 'written') expect(JSON.parse(texts.json(object))).toEqual(object)
        else if (what === 'all gone') {
          object = {}
          texts.forgetAll()
        } else if ('untouched' in what) texts.changed(what.untouched)
        else {
          object[what.name] = what.value
          texts.changed(what.name)
        }
      }
      expect(JSON.parse(texts.json(object))).toEqual(object)
    }),
  )
})
