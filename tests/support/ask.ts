/** Asks tests/support/servers.ts for a server; the first question of a run starts it. */
export async function askForServer<T>(servers: string, path: string): Promise<T> {
  const response = await fetch(servers + path)
  const body = await response.text()
  if (!response.ok) throw new Error(`The test server ${path} did not start: ${body}`)
  return JSON.parse(body) as T
}
