/** What is wrong with what the command was given: shown without a stack. */
export class CommandError extends Error {
  override name = 'CommandError'
}

/** Of a file that was named on the command line. */
export function fileError(file: string): (error: NodeJS.ErrnoException) => never {
  return (error) => {
    const why = { ENOENT: 'there is no such file', EISDIR: 'it is a folder', EACCES: 'it may not be read', EEXIST: 'it is there already' }
    throw new CommandError(`${file}: ${why[error.code as keyof typeof why] ?? error.message}.`)
  }
}
