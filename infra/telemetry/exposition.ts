/** Puts the Prometheus texts of several processes together: each family's HELP, TYPE and UNIT once, its samples in one block. */

interface Family {
  /** By keyword, first come: of one family all processes say the same. */
  comments: Map<string, string>
  samples: string[]
}

const COMMENT = /^# (HELP|TYPE|UNIT) (\S+)/
/** A histogram's or summary's samples carry these behind the family's name. */
const SUFFIX = /_(bucket|sum|count)$/

export function mergeExposition(texts: string[]): string {
  const families = new Map<string, Family>()
  for (const text of texts) addTo(families, text)
  const lines = [...families.values()]
    .filter((family) => family.samples.length > 0)
    .flatMap((family) => [...['HELP', 'TYPE', 'UNIT'].flatMap((keyword) => family.comments.get(keyword) ?? []), ...family.samples])
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`
}

function addTo(families: Map<string, Family>, text: string): void {
  for (const line of text.split('\n')) {
    const comment = COMMENT.exec(line)
    if (comment) {
      const { comments } = familyOf(families, comment[2]!)
      if (!comments.has(comment[1]!)) comments.set(comment[1]!, line)
    } else if (line !== '' && !line.startsWith('#')) {
      const name = /^[^{\s]+/.exec(line)![0]
      const family = families.has(name) ? name : name.replace(SUFFIX, '')
      familyOf(families, families.has(family) ? family : name).samples.push(line)
    }
  }
}

function familyOf(families: Map<string, Family>, name: string): Family {
  const known = families.get(name)
  if (known) return known
  const family = { comments: new Map<string, string>(), samples: [] }
  families.set(name, family)
  return family
}
