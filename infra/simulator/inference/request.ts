/** The tensor of an inference request, as rows of numbers: flat or nested, of any numeric type, in as many rows as its shape says. */

/** What is wrong with a request. */
export class InferenceError extends Error {
  override name = 'InferenceError'
}

export interface InferBody {
  id?: unknown
  inputs?: unknown
  outputs?: unknown
}

const NUMERIC = /^(FP16|FP32|FP64|U?INT(8|16|32|64)|BOOL)$/
const MOST_ROWS = 1_000

export function rowsOf({ inputs }: InferBody, { tensor, columns }: { tensor: string; columns: number }): number[][] {
  if (!Array.isArray(inputs)) throw new InferenceError('inputs must be a list of tensors')
  const names = inputs.map((input: { name?: unknown } | null) => String(input?.name))
  const place = names.indexOf(tensor)
  if (place < 0 || inputs.length > 1)
    throw new InferenceError(`The model takes one tensor, ${tensor}, and was given ${names.join(', ') || 'none'}`)
  const { datatype, shape, data } = inputs[place] as { datatype?: unknown; shape?: unknown; data?: unknown }
  if (typeof datatype !== 'string' || !NUMERIC.test(datatype)) throw new InferenceError(`The datatype of ${tensor} must be a numeric one`)
  const rows = rowsIn(shape, tensor, columns)
  if (!Array.isArray(data)) throw new InferenceError(`The data of ${tensor} must be a list`)
  const values = data.flat(2).map((value: unknown) => (datatype === 'BOOL' ? Number(value) : value))
  if (values.length !== rows * columns)
    throw new InferenceError(`${tensor} has ${values.length} values, where its shape means ${rows * columns}`)
  if (!values.every((value): value is number => typeof value === 'number' && Number.isFinite(value)))
    throw new InferenceError(`The data of ${tensor} must be numbers`)
  return Array.from({ length: rows }, (_, row) => values.slice(row * columns, (row + 1) * columns))
}

function rowsIn(shape: unknown, tensor: string, columns: number): number {
  const [rows, width] = Array.isArray(shape) && shape.length === 2 ? (shape as unknown[]) : []
  if (width !== columns || typeof rows !== 'number' || !Number.isInteger(rows) || rows < 1 || rows > MOST_ROWS)
    throw new InferenceError(`The shape of ${tensor} must be [n, ${columns}], with 1 to ${MOST_ROWS} rows`)
  return rows
}
