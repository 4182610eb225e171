import type * as Fs from 'node:fs'
import type * as Os from 'node:os'
import type * as Path from 'node:path'
import type * as Zlib from 'node:zlib'
import { TierError } from '@kvfold/kv-core'

/** The parts of Node that a tier on disk uses. */
export interface Node {
  fs: typeof Fs
  os: typeof Os
  path: typeof Path
  zlib: typeof Zlib
  /** Loads a package as this one would: synchronously, so that tiers can be opened without waiting. */
  require: NodeJS.Require
  process: NodeJS.Process
}

/** Node's modules, asked for only here and at run time: a bundle for the browser has no trace of them. Throws TierError there. */
export function node(): Node {
  const process = (globalThis as { process?: NodeJS.Process }).process
  if (!process?.versions?.node) throw new TierError('There is no disk here: this tier needs Node. Use a policy without `disk`.')
  if (!process.getBuiltinModule) throw new TierError(`The disk tier needs Node 20.16 or newer, this is ${process.versions.node}.`)
  const { createRequire } = process.getBuiltinModule('node:module')
  return {
    fs: process.getBuiltinModule('node:fs'),
    os: process.getBuiltinModule('node:os'),
    path: process.getBuiltinModule('node:path'),
    zlib: process.getBuiltinModule('node:zlib'),
    require: createRequire(import.meta.url),
    process,
  }
}
