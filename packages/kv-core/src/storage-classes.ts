import type { Encoder, HeadPlace, StorageClass } from './axes.ts'
import { raw32 } from './codecs.ts'
import type { ModelParts } from './model-parts.ts'

const UNPACKED: readonly StorageClass[] = [{ name: 'raw', keys: raw32, values: raw32 }]

/** How one head's rows are stored. */
export function storageClasses(encode: Encoder | undefined, place: HeadPlace, model: ModelParts): readonly StorageClass[] {
  if (!encode) return UNPACKED
  return encode.classesOf?.(place, model) ?? encode.classes
}
