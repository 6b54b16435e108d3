/** `npm run firmware`: keys, signing and checking without a Castor; trusting a key and uploading with one. */
import { createPublicKey } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { Command, InvalidArgumentError } from 'commander'
import { parseDuration } from '../../twin-models/durations.ts'
import { keyIdOf } from '../../twin-models/firmware/envelope.ts'
import { ConfigError, readConfig } from '../config.ts'
import { adminKeyOf, reachable } from '../running-castor.ts'
import { CommandError, fileError } from './command-error.ts'
import { makeKey, readPrivateKey, readPublicKey } from './keys.ts'
import { type Castor, trustKey, uploadImage } from './rest.ts'
import { manifestFileOf, signImage, signManifest, verifyImage } from './signing.ts'

const program = new Command('npm run firmware --').description(
  'Firmware for Castor: signed where you are, installed where your devices are.',
)

program
  .command('keygen')
  .description('make a release key: release.key, which stays with you, and release.pub')
  .requiredOption('--out <folder>', 'where to')
  .action(async ({ out }: { out: string }) => {
    const { id, privateFile, publicFile } = await makeKey(out)
    console.log(`${privateFile}: the private key; whoever has it can sign releases\n${publicFile}: the public key, ${id}`)
  })

program
  .command('sign')
  .description('write the signed manifest of an image, beside it')
  .argument('<image>')
  .requiredOption('--key <file>', 'private key')
  .requiredOption('--model <name>', 'twin model that it is for')
  .option('--name <name>', 'line of releases that it belongs to; default: the model')
  .requiredOption('--version <version>', 'of the release')
  .requiredOption('--counter <n>', 'rises with every release of the line', wholeNumber)
  .option('--hardware <ids>', 'hardware that it is for; default: any', list, [])
  .option('--from <versions>', 'versions that it can be installed over; default: any', list)
  .option('--min-battery <percent>', 'that a device needs to begin', Number)
  .option('--free-bytes <n>', 'that a device needs to begin', wholeNumber)
  .option('--rollback-to <versions>', 'versions that a device with it may go back to', list, [])
  .option('--expires <when>', 'when nobody is to install it any more: a time, or a duration from now like 365d', expiry)
  .option('--out <file>', 'default: the image with .manifest.json')
  .action(async (image: string, given) => {
    const { key, model, name = model, version, counter, hardware, from, minBattery, freeBytes, rollbackTo, expires } = given
    const privateKey = await readPrivateKey(key)
    const prerequisites = {
      ...(from && { from }),
      ...(minBattery !== undefined && { minBattery }),
      ...(freeBytes !== undefined && { freeBytes }),
    }
    const release = { name, model, version, counter, hardware, prerequisites, rollbackTo, issued: new Date().toISOString() }
    const file = given.out ?? manifestFileOf(image)
    const manifest = await signImage(image, { ...release, ...(expires && { expires }) }, privateKey, file)
    console.log(`${file}: ${name} ${version}, ${manifest.size} bytes, SHA-256 ${manifest.sha256}`)
  })

program
  .command('sign-manifest')
  .description('sign the manifest of an image as it stands: after its key was revoked, or when nobody has signed it')
  .argument('<image>')
  .requiredOption('--key <file>', 'private key')
  .option('--manifest <file>', 'an envelope, or a bare manifest; default: the image with .manifest.json')
  .action(async (image: string, { key, manifest: file = manifestFileOf(image) }) => {
    const privateKey = await readPrivateKey(key)
    const { name, version, counter } = await signManifest(image, privateKey, file)
    console.log(`${file}: ${name} ${version}, release ${counter}, is signed by ${keyIdOf(createPublicKey(privateKey))}`)
  })

program
  .command('verify')
  .description('check that a key signed the manifest, and that it is that of the image')
  .argument('<image>')
  .requiredOption('--key <file>', 'public key')
  .option('--manifest <file>', 'default: the image with .manifest.json')
  .action(async (image: string, { key, manifest: file = manifestFileOf(image) }) => {
    const publicKey = await readPublicKey(key)
    const { name, version, counter } = await verifyImage(image, publicKey, file, Date.now())
    console.log(`${image} is ${name} ${version}, release ${counter}, signed by ${keyIdOf(publicKey)}`)
  })

withCastor(program.command('trust').description('have Castor trust what a key signs'))
  .argument('<key>', 'public key')
  .requiredOption('--name <name>', 'what it is called there')
  .action(async (file: string, { name, ...given }) => {
    await readPublicKey(file)
    const key = await trustKey(await castorOf(given), name, await readFile(file, 'utf8'))
    console.log(`${key.id} (${key.name}) is trusted`)
  })

withCastor(program.command('upload').description('upload an image with its signed manifest'))
  .argument('<image>')
  .option('--manifest <file>', 'default: the image with .manifest.json')
  .option('--notes <text>', 'for those who look at it')
  .action(async (image: string, { manifest: file = manifestFileOf(image), notes, ...given }) => {
    const { id, isNew, usable, problem, signatureAdded } = await uploadImage(await castorOf(given), image, file, notes)
    console.log(
      `${id}: ${isNew ? 'uploaded' : signatureAdded ? 'was there already, and has its signature now' : 'was there already'}${usable ? '' : `, but not usable. ${problem?.detail}`}`,
    )
  })

try {
  await program.parseAsync()
} catch (error) {
  if (!(error instanceof CommandError || error instanceof ConfigError)) throw error
  console.error(error.message)
  process.exitCode = 1
}

function withCastor(command: Command): Command {
  return command
    .option('--url <url>', 'of Castor; default: the one that runs here')
    .option('--api-key-file <file>', 'default: CASTOR_ADMIN_KEY, or admin.key in the data folder')
}

async function castorOf({ url, apiKeyFile }: { url?: string; apiKeyFile?: string }): Promise<Castor> {
  const config = readConfig()
  const text = apiKeyFile === undefined ? adminKeyOf(config) : await readFile(apiKeyFile, 'utf8').catch(fileError(apiKeyFile))
  const apiKey = text.trim()
  // Before a message about a wrong header shows it.
  if (!/^[\x21-\x7e]{1,512}$/.test(apiKey)) throw new CommandError(`${apiKeyFile ?? 'The admin key'} is no API key.`)
  return { url: (url ?? reachable(config.publicUrl)).replace(/\/$/, ''), apiKey }
}

function list(text: string): string[] {
  return text.split(',').map((item) => item.trim())
}

function wholeNumber(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('A whole number.')
}

function expiry(text: string): string {
  const duration = parseDuration(text)
  const at = duration === undefined ? Date.parse(text) : Date.now() + duration
  if (Number.isNaN(at)) throw new InvalidArgumentError('A time like 2027-01-31T00:00:00Z, or a duration like 365d.')
  if (at <= Date.now()) throw new InvalidArgumentError(`${new Date(at).toISOString()} is past: nobody could install it.`)
  return new Date(at).toISOString()
}
