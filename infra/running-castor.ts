/** How a program beside it (the simulator, the firmware command) finds the Castor that runs on this machine, and its admin key. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Config, ConfigError } from './config.ts'

/** `0.0.0.0` is for listening; to connect one needs an address. */
export function reachable(url: string): string {
  return url.replace('//0.0.0.0', '//127.0.0.1').replace('//[::]', '//[::1]')
}

export function adminKeyOf(config: Config): string {
  if (config.adminKey) return config.adminKey
  const file = join(config.dataDir, 'admin.key')
  try {
    return readFileSync(file, 'utf8').trim()
  } catch {
    throw new ConfigError(
      `There is no ${file}. Start Castor with \`npm start\` first, or set CASTOR_DATA_DIR to its data folder, or CASTOR_ADMIN_KEY.`,
    )
  }
}
