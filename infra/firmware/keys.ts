/** Release keys in files: PEM, Ed25519. The private one stays with whoever releases; Castor gets to see the public one alone. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { keyIdOf } from '../../twin-models/firmware/envelope.ts'
import { CommandError, fileError } from './command-error.ts'

export interface KeyFiles {
  id: string
  privateFile: string
  publicFile: string
}

/** Files that are there stay as they are. */
export async function makeKey(folder: string): Promise<KeyFiles> {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const [privateFile, publicFile] = [join(folder, 'release.key'), join(folder, 'release.pub')]
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const write = (file: string, pem: string | Buffer, mode: number) => writeFile(file, pem, { flag: 'wx', mode }).catch(fileError(file))
  await write(privateFile, privateKey.export({ type: 'pkcs8', format: 'pem' }), 0o600)
  await write(publicFile, publicKey.export({ type: 'spki', format: 'pem' }), 0o644)
  return { id: keyIdOf(publicKey), privateFile, publicFile }
}

export async function readPrivateKey(file: string): Promise<KeyObject> {
  const pem = await readFile(file, 'utf8').catch(fileError(file))
  return ofEd25519(file, 'private key', () => createPrivateKey(pem))
}

export async function readPublicKey(file: string): Promise<KeyObject> {
  const pem = await readFile(file, 'utf8').catch(fileError(file))
  if (pem.includes('PRIVATE KEY')) throw new CommandError(`${file} is a private key: name the public one, which ends in .pub.`)
  return ofEd25519(file, 'public key', () => createPublicKey(pem))
}

function ofEd25519(file: string, what: string, read: () => KeyObject): KeyObject {
  let key: KeyObject
  try {
    key = read()
  } catch {
    throw new CommandError(`${file} is no ${what} in PEM.`)
  }
  if (key.asymmetricKeyType === 'ed25519') return key
  throw new CommandError(`${file} is a ${what} of ${key.asymmetricKeyType}: it must be of Ed25519, as \`keygen\` makes it.`)
}
