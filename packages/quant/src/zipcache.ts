import {
  affine,
  createRandom,
  defineMethod,
  type Encoder,
  type Method,
  observed,
  PAGE_ROWS,
  raw32,
  type Scorer,
  type StorageClass,
  topRows,
} from '@kvfold/kv-core'
import { z } from 'zod'
import { keepAll } from './keep-all.ts'
import { chooseProbes, probeAttention } from './probe-attention.ts'

const params: z.ZodObject<{
  salient: z.ZodDefault<z.ZodNumber>
  high: z.ZodDefault<z.ZodLiteral<2 | 4 | 8>>
  low: z.ZodDefault<z.ZodLiteral<2 | 4 | 8>>
  gap: z.ZodDefault<z.ZodNumber>
  probes: z.ZodDefault<z.ZodNumber>
  seed: z.ZodDefault<z.ZodNumber>
}> = z.object({
  salient: z.number().min(0).max(1).default(0.6).describe('share of the rows that count as salient'),
  high: z.literal([2, 4, 8]).default(4).describe('bits per number of salient rows'),
  low: z.literal([2, 4, 8]).default(2).describe('bits per number of the others'),
  gap: z.number().int().min(1).default(100).describe('generated rows that wait unpacked, and are packed together'),
  probes: z.number().min(0).max(1).default(0.1).describe('share of a prompt whose queries are looked at, half of them its newest'),
  seed: z.number().int().default(0).describe('of the probes that are drawn'),
})

/**
 * ZipCache: Accurate and Efficient KV Cache Quantization with Salient Token Identification (arXiv 2405.14256). Salient rows are stored in
 * 4 bits, the others in 2; none leaves. A row's saliency is what it got of the attention of some probe queries, divided by the number of
 * probes that saw it: plain sums favour rows that more queries see. Probes are 5 % of a prompt at its end and 5 % drawn from the rest.
 * Keys have a scale per channel and tier, values a scale per token after each channel was divided by c = sqrt(max |x|).
 *
 * A prompt is packed whole when it ends; generated rows wait unpacked until there are `gap`, and are then divided and packed together.
 * Another method's scores take the place of the saliency (`h2o(budget=100%) + zipcache`); rows leave as that method says.
 *
 * Defaults: the demo's (60 % in 4 bits, 10 % probes, a gap of 100); the paper's ablation takes 40 %.
 *
 * Deviations. Following the paper, not its code: the divisor counts probes, not all queries; probes are drawn without repetition (from a
 * seed); a generated row's saliency is the mean attention of all steps since, not of one. Of our own: scales are shared by the rows of a page,
 * at most 64 of one head and tier, so keys pay 0.5 bits a number and values 0.75 where the paper's whole prompts pay next to nothing, for
 * smaller steps; the values' c is a page's and not that of both tiers; a token's scale is a head's, not that of all heads; only new rows
 * are packed, where the code packs the whole lossy cache again. Scales are float16. An empty channel has c = 1, a constant group step 0.
 */
export const zipcache: Method<typeof params> = defineMethod({
  name: 'zipcache',
  axes: ['encode'],
  paper: {
    title: 'ZipCache: Accurate and Efficient KV Cache Quantization with Salient Token Identification',
    arxiv: '2405.14256',
    year: 2024,
  },
  summary: 'Salient rows in 4 bits, the others in 2; some probe queries tell which.',
  params,
  create: (options) => ({ encode: encoder(options), fallback: { score: saliency(options), budget: keepAll } }),
})

type Options = z.output<typeof params>

function encoder({ salient, high, low, gap }: Options): Encoder {
  const classesOf = ({ headDim }: { headDim: number }): readonly StorageClass[] => {
    const tier = (name: string, bits: 2 | 4 | 8): StorageClass => ({
      name,
      keys: affine({ bits, axis: 'channel', group: PAGE_ROWS }),
      values: affine({ bits, axis: 'token', group: headDim, factors: true }),
    })
    return [{ name: 'new', keys: raw32, values: raw32 }, tier('salient', high), tier('regular', low)]
  }
  return {
    classes: classesOf({ headDim: 64 }),
    classesOf,
    flush: { keys: { keep: 0, step: 1 }, values: { keep: 0, step: 1 } },
    moments: ['prefill', 'decode'],
    assign(kept, scores, { moved }, moment) {
      const classes = new Uint8Array(kept.length)
      const fresh = kept.length - moved
      if (moment === 'decode' && fresh < gap) return classes
      classes.fill(2, moved)
      const regular = Math.floor((1 - salient) * fresh)
      for (const row of topRows(scores!.subarray(moved), fresh - regular)) classes[moved + row] = 1
      return classes
    },
  }
}

function saliency({ probes, seed }: Options): Scorer {
  return {
    needs: { queries: true, keys: true, stepAttention: true },
    moments: ['prefill', 'decode'],
    columns: [{ name: 'saliency', initial: 0 }],
    score(seen, head) {
      const means = head.column('saliency')
      const { rows, moved } = head
      if (seen.moment === 'prefill') {
        const queries = observed(seen.queries, 'zipcache', 'queries')
        const chosen = chooseProbes(queries.count, probes, createRandom(seed + 1009 * head.layer + head.head))
        const { sums, seen: counts } = probeAttention(queries, seen.group, chosen, head)
        for (let row = 0; row < rows; row++) means[row] = counts[row] ? sums[row] / (counts[row] * seen.group) : 0
      } else {
        const step = observed(seen.stepAttention, 'zipcache', 'stepAttention')
        for (let row = moved; row < rows; row++) {
          let sum = 0
          for (let g = 0; g < seen.group; g++) sum += step[g * rows + row]
          // The mean over this step and those before that saw the row.
          means[row] += (sum / seen.group - means[row]) / (rows - row)
        }
      }
      return means.slice()
    },
  }
}
