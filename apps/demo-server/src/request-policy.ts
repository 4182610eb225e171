import { compose, type Policy, type Registry } from '@kvfold/kv-core'
import { InvalidRequestError } from './errors.ts'

/** A policy that a request may name. Throws InvalidRequestError for one that would touch the server's files, and what the registry throws. */
export function requestPolicy(registry: Registry, text: string): Policy {
  const presets = registry.presets(text)
  const onDisk = presets.find(({ place }) => place)
  if (onDisk)
    throw new InvalidRequestError(
      `"${onDisk.text}" keeps pages in files, and no request reads or writes files of this server: leave it out.`,
      'kv_policy',
      'no_file_access',
    )
  return compose(...presets)
}
