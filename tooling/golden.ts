import { readFileSync } from 'node:fs'
import { readSafetensors, type StoredTensor } from './safetensors.ts'

export interface GoldenCase {
  id: string
  args: Record<string, number | boolean>
  inputs: Record<string, string>
  outputs: Record<string, string>
}

/** `NAME.json` and `NAME.safetensors` of a folder: what the authors' code gave for fixed inputs. */
export function golden(folder: URL, name: string): { cases: GoldenCase[]; tensor: (key: string) => StoredTensor } {
  const { cases } = JSON.parse(readFileSync(new URL(`${name}.json`, folder), 'utf8')) as { cases: GoldenCase[] }
  const tensors = readSafetensors(new URL(`${name}.safetensors`, folder))
  return { cases, tensor: (key) => tensors[key] }
}
